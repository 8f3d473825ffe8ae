"""The pages on which users manage the webhook endpoints of their clusters."""
