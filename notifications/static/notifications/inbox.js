// The notification centre without reloads, and its keyboard. Every page works without this file, too.

const inbox = () => document.getElementById("inbox");
const TOKEN = "csrfmiddlewaretoken";
const status = (text) => {
  const line = document.getElementById("status");
  if (line) line.textContent = text;
};

// --- Showing a page of the inbox in place of the present one -------------------------------------------------------

// Only the latest request may change the page.
let latest = 0;
// The search that starts when the user stops typing.
let typing;
// Whether the user waits for a page, and whether items have changed since they asked for it.
let isAwaited = false;
let isStale = false;

async function load(url, body) {
  const options = { headers: { Accept: "text/html" }, credentials: "same-origin" };
  const response = body ? await send(url, body, options) : await fetch(url, options);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  return { response, page, fresh: page.getElementById("inbox") };
}

/* Send a form. A login in another tab has changed the token of forms: then nothing was done, and it is sent again with
   the token of a fresh page. */
async function send(address, body, options) {
  const response = await fetch(address, { method: "POST", body, ...options });
  if (response.status !== 403) return response;
  const token = (await load(location.href)).page.getElementsByName(TOKEN)[0]?.value;
  if (!token) return response;
  for (const field of document.getElementsByName(TOKEN)) field.value = token;
  body.set(TOKEN, token);
  return fetch(address, { method: "POST", body, ...options });
}

/* What the user asks for. A search that they have not finished typing is given up. */
async function show(url, { body = null, push = false } = {}) {
  clearTimeout(typing);
  const number = ++latest;
  isAwaited = true;
  let loaded;
  try {
    loaded = await load(url, body);
  } catch {
    location.assign(body ? location.href : url);
    return;
  }
  if (number !== latest) return;
  isAwaited = false;
  const { response, page, fresh } = loaded;
  if (!fresh) {
    // A login page or an error page.
    location.assign(response.redirected || !body ? response.url : location.href);
    return;
  }
  const target = new URL(response.url);
  const moves = push || target.pathname + target.search !== location.pathname + location.search;
  if (moves) history.pushState({}, "", response.url);
  replace(fresh, page, moves);
  catchUp();
}

const isBusy = () =>
  isAwaited || document.querySelector("#inbox details.menu[open], dialog[open], .filters select:focus") !== null;

/* The same page again, because items have changed. It gives way to what the user asks for, and closes no menu and no
   list of options. */
async function refresh() {
  isStale = isBusy();
  if (isStale) return;
  const number = ++latest;
  try {
    const { page, fresh } = await load(location.href);
    if (!fresh || number !== latest) return;
    isStale = isBusy();
    if (!isStale) replace(fresh, page, false);
  } catch {
    // The next change tries again.
  }
}

function catchUp() {
  if (isStale && !isBusy()) refresh();
}
// When a menu or the help closes. These events do not bubble.
for (const name of ["toggle", "close"]) document.addEventListener(name, catchUp, { capture: true });
document.addEventListener("focusout", () => setTimeout(catchUp));

function replace(fresh, page, moves) {
  const place = rememberPlace();
  document.title = page.title;
  const next = document.importNode(fresh, true);
  if (shownAddress === location.href) keepFilters(next);
  shownAddress = location.href;
  inbox().replaceWith(next);
  announce(page.querySelector(".messages"));
  if (moves && !place.isSearch) {
    window.scrollTo(0, 0);
    document.getElementById("content").focus({ preventScroll: true });
  } else {
    restorePlace(place);
  }
  prepare();
}

// The address of the list that is shown. After "back", it differs from the one in the address bar.
let shownAddress = location.href;

/* Filters that the user has chosen and not applied yet stay. */
function keepFilters(next) {
  const filters = inbox().querySelector(".filters");
  if (filters) next.querySelector(".filters")?.replaceWith(filters);
}

function announce(messages) {
  if (messages) status(messages.textContent.trim().replace(/\s+/g, " "));
}

// What has the focus, which groups are open and what is selected stays the same when the list is replaced.
function rememberPlace() {
  const active = document.activeElement;
  return {
    active,
    isSearch: active?.name === "q",
    selection: active?.name === "q" ? [active.value, active.selectionStart, active.selectionEnd] : null,
    focus: inbox().contains(active) ? rememberFocus(active) : null,
    open: [...document.querySelectorAll("details.group[open]")].flatMap(listIds),
    checked: listBoxes().filter((box) => box.checked).map((box) => box.value),
  };
}

function restorePlace(place) {
  for (const id of place.open) document.getElementById(id)?.closest("details.group")?.setAttribute("open", "");
  for (const box of listBoxes()) box.checked = place.checked.includes(box.value);
  if (place.isSearch) {
    const field = document.getElementById("q");
    field.focus();
    field.value = place.selection[0];
    field.setSelectionRange(place.selection[1], place.selection[2]);
  } else if (place.active.isConnected) {
    place.active.focus({ preventScroll: true });
  } else if (place.focus) {
    restoreFocus(place.focus);
  }
}

// --- The focus in a list that is replaced --------------------------------------------------------------------------

const CONTROLS = "a[href], button, input:not([type=hidden]), select, summary";
const ENTRIES = "[data-item], details.group";
const REGIONS = [".tools", "nav.filter", ".selected", ".filters", ".pages", ".item-tools"];

const isVisible = (element) => element.checkVisibility();
const listEntries = () => [...document.querySelectorAll(`#inbox[data-page=list] :is(${ENTRIES})`)].filter(isVisible);
const listIds = (entry) => [...(entry.matches("[data-item]") ? [entry] : entry.querySelectorAll("[data-item]"))].map((item) => item.id);

/* What a control does, in the same words before and after: the ids of items that it changes are left out. */
function describe(control) {
  const value = control.localName === "button" ? control.value.replace(/\d+(,\d+)*/, "") : "";
  const { localName, name, dataset } = control;
  return [localName, name, value, dataset.select, control.getAttribute("formaction"), control.getAttribute("href")].join();
}

function rememberFocus(active) {
  const entry = active.closest(ENTRIES);
  return {
    control: describe(active),
    ids: entry ? listIds(entry) : [],
    isGroup: entry?.matches("details.group"),
    index: listEntries().indexOf(entry),
    region: REGIONS.find((region) => active.closest(region)),
  };
}

/* The item or the group that had the focus. A group of which one item is left is an item. */
function findEntry({ ids, isGroup }, entries) {
  const items = ids.map((id) => document.getElementById(id)).filter(Boolean);
  const groups = items.map((item) => item.closest("details.group"));
  return (isGroup ? [...groups, ...items] : [...items, ...groups]).find((one) => entries.includes(one));
}

/* To the same control or, if it has gone, to its neighbour; to the top of the content if there is none. */
function restoreFocus(focus) {
  const entries = listEntries();
  const entry = findEntry(focus, entries);
  const place = entry ?? (focus.ids.length ? entries[Math.min(focus.index, entries.length - 1)] : null);
  const region = place ?? (focus.region ? inbox().querySelector(focus.region) : null);
  const controls = region ? [...region.querySelectorAll(CONTROLS)].filter(isVisible) : [];
  const control = entry || !place ? controls.find((one) => describe(one) === focus.control) : null;
  const target = control ?? place?.querySelector(".title a, summary") ?? controls[0];
  if (target) target.focus();
  else document.getElementById("content").focus({ preventScroll: true });
}

// --- Items ---------------------------------------------------------------------------------------------------------

const listBoxes = () => [...document.querySelectorAll("[data-item] input[name=item]")];

function post(form, values = {}) {
  const body = new FormData(form);
  for (const [name, value] of Object.entries(values)) body.set(name, value);
  const options = { headers: { Accept: "application/json" }, credentials: "same-origin", keepalive: true };
  return send(form.getAttribute("action"), body, options);
}

async function open(item) {
  const form = item.closest("form");
  // The answer is not awaited if the browser leaves the page; keepalive lets the request end.
  const reading = item.classList.contains("unread") ? post(form, { do: `read:${item.dataset.item}` }) : null;
  const url = item.dataset.url;
  if (url) {
    location.assign(url);
    return;
  }
  await reading?.catch(() => {});
  show(item.querySelector(".title a").href, { push: true });
}

function markSeen() {
  const form = document.getElementById("seen");
  if (form && document.visibilityState === "visible") {
    post(form, { do: "seen" }).catch(() => {});
    form.remove();
  }
}

function markOpened() {
  const form = document.getElementById("opened");
  if (form && document.visibilityState === "visible") {
    form.removeAttribute("id");
    post(form).then((response) => response.ok && refresh(), () => {});
  }
}

// --- Events --------------------------------------------------------------------------------------------------------

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.closest?.("#inbox") || event.defaultPrevented) return;
  event.preventDefault();
  const button = event.submitter;
  const data = new FormData(form, button);
  const action = button?.hasAttribute("formaction") ? button.formAction : form.action;
  if (form.method === "get") {
    const query = new URLSearchParams([...data].filter(([, value]) => value));
    show(`${action.split("?")[0]}?${query}`, { push: true });
  } else {
    show(action, { body: data });
  }
});

document.addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const opener = event.target.closest("[data-open]");
  if (opener) document.getElementById(opener.dataset.open).showModal();
  closeMenus(event.target.closest("details.menu"));
  const link = event.target.closest("#inbox a");
  if (!link || link.hasAttribute("download") || link.origin !== location.origin) return;
  const item = link.closest("[data-item]");
  if (item) {
    event.preventDefault();
    open(item);
  } else if (link.pathname === document.querySelector(".brand")?.pathname || link.closest("nav, .back, .empty")) {
    event.preventDefault();
    show(link.href, { push: true });
  }
});

document.addEventListener("change", (event) => {
  const box = event.target;
  if (box.dataset?.select === "all") {
    for (const other of listBoxes()) other.checked = box.checked;
  }
});

document.addEventListener("input", (event) => {
  if (event.target.name !== "q" || !event.target.closest("#inbox")) return;
  clearTimeout(typing);
  // The list may be replaced until then, and the field with it.
  typing = setTimeout(() => document.getElementById("q")?.form.requestSubmit(), 400);
});

function closeMenus(except) {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (menu !== except) menu.open = false;
}

window.addEventListener("popstate", () => {
  // The page that comes back has its own search word.
  document.activeElement?.blur();
  show(location.href);
});
document.addEventListener("visibilitychange", () => {
  markSeen();
  markOpened();
  if (document.visibilityState === "visible" && inbox()?.dataset.page === "list") refresh();
});

// The bell says that items have changed, in another tab or by a new notification.
let waiting;
document.addEventListener("notification-count", (event) => {
  const list = inbox();
  if (list?.dataset.page !== "list") return;
  if (!event.detail.hasChanges && String(event.detail.total) === list.dataset.unread) return;
  clearTimeout(waiting);
  waiting = setTimeout(refresh, 200);
});

// --- Keyboard ------------------------------------------------------------------------------------------------------

const KEYS = {
  j: () => move(1),
  k: () => move(-1),
  o: (item) => item && open(item),
  x: (item) => item?.querySelector("input[name=item]").click(),
  e: (item) => press(item, "e"),
  u: (item) => press(item, "u"),
  s: (item) => snooze(item),
  "/": () => document.getElementById("q")?.focus(),
  "?": () => document.getElementById("keys")?.showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") return leaveMenu(event);
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.defaultPrevented) return;
  // A dialog that has just closed keeps the focus until the browser draws the page again.
  if (event.target.closest?.("input:not([type=checkbox]), textarea, select, [contenteditable], dialog[open]")) return;
  const action = KEYS[event.key];
  if (!action || !inbox()) return;
  event.preventDefault();
  action(document.activeElement.closest("[data-item]"));
});

function leaveMenu(event) {
  const menu = event.target.closest?.("details.menu[open]");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
}

function move(step) {
  const entries = listEntries();
  const index = entries.indexOf(document.activeElement.closest(ENTRIES));
  const link = entries[index < 0 ? (step > 0 ? 0 : entries.length - 1) : index + step]?.querySelector(".title a, summary");
  link?.focus();
  link?.closest(".item").scrollIntoView({ block: "nearest" });
}

function press(item, key) {
  item?.querySelector(`[data-key=${key}]`)?.click();
}

function snooze(item) {
  const button = item?.querySelector("[data-key=s]");
  if (!button) return;
  const menu = button.closest("details");
  menu.open = true;
  button.focus();
}

// --- Start ---------------------------------------------------------------------------------------------------------

function prepare() {
  for (const hidden of document.querySelectorAll(".selected .all, .keys-hint")) hidden.hidden = false;
  markSeen();
  markOpened();
}

prepare();
