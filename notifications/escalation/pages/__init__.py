"""The pages of escalations and rotas: acknowledging by the link in an email, and who is on call."""
