// The preference centre works without this script. It offers the time zone of the browser, and warns before changes in
// one form are lost because another form is saved.

function offerZone(button) {
  const input = button.parentElement.querySelector("input");
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (!zone || input.value === zone) return;
  button.textContent = button.dataset.text.replace("{zone}", zone);
  button.hidden = false;
  button.addEventListener("click", () => {
    input.value = zone;
    button.hidden = true;
    input.focus();
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
}

function warnOfLoss(forms) {
  const changed = new Set();
  let submitted = null;
  for (const form of forms) {
    form.addEventListener("change", () => changed.add(form));
    form.addEventListener("submit", () => { submitted = form; });
  }
  window.addEventListener("beforeunload", (event) => {
    if ([...changed].some((form) => form !== submitted)) event.preventDefault();
    submitted = null;
  });
}

document.querySelectorAll("[data-klaxon-zone]").forEach(offerZone);
warnOfLoss(document.querySelectorAll("form[data-klaxon-form]"));
