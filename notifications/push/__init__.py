"""The page on which users subscribe a browser to push messages, and the service worker that shows them."""
