// Pages work without this script. It sends a form once: the answer to the second click of a double click would hide the
// answer to the first one, such as a secret that is shown only then.

let sent = new WeakSet();

document.addEventListener("submit", (event) => {
  if (sent.has(event.target)) event.preventDefault();
  sent.add(event.target);
});

// After "back", the browser can show the page again as it was left.
window.addEventListener("pageshow", () => { sent = new WeakSet(); });
