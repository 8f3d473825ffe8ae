def tab_to(page, selector, limit=80):
    """Press Tab until an element has the focus."""
    for _ in range(limit):
        page.keyboard.press("Tab")
        script = """selector => {
          const one = document.activeElement;
          return (one.shadowRoot?.activeElement ?? one).matches(selector);
        }"""
        if page.evaluate(script, selector):
            return
    raise AssertionError(f"{selector} cannot be reached with Tab.")
