/**
 * <notification-bell>: a bell with the number of unread notifications, a list of the newest ones, and toasts.
 *
 * The template tag `notification_bell` writes it. It is a plain ES module: it needs no build step, no inline script and
 * no inline style. Host pages set its colours by CSS variables; see bell.css.
 */

const SHOWN = 10;
const TOAST_MILLISECONDS = 7_000;
const MAX_TOASTS = 3;
const UNITS = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["week", 604_800],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];
const SVG = "http://www.w3.org/2000/svg";
const BELL_PATH =
  "M12 2a1.5 1.5 0 0 0-1.5 1.5v.68A6.5 6.5 0 0 0 5.5 10.5V15L4 17v1h16v-1l-1.5-2v-4.5a6.5 6.5 0 0 0-5-6.32V3.5A1.5 1.5 " +
  "0 0 0 12 2Zm-2.2 17.5a2.25 2.25 0 0 0 4.4 0Z";

/* Make an element. Text is always text: nothing here parses markup. */
function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (typeof value === "boolean") element.toggleAttribute(key, value);
    else if (value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

function makeBell() {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", BELL_PATH);
  svg.setAttribute("viewBox", "0 0 24 24");
  // Without styles, an image would be as large as the page.
  svg.setAttribute("width", "26");
  svg.setAttribute("height", "26");
  svg.setAttribute("aria-hidden", "true");
  svg.append(path);
  return svg;
}

/* A path of this site or an https address; the server sends no others. */
function isSafe(address) {
  return /^(\/(?!\/)|https:\/\/)/.test(address);
}

function isImage(icon) {
  return icon.includes("/");
}

function isListed(item) {
  return !item.archived_at && !(item.snoozed_until && new Date(item.snoozed_until) > new Date());
}

/* The URL of live.js comes from the template tag: with ManifestStaticFilesStorage, the names of files contain their
   hashes, and a relative import would load a version that a browser has kept from before an upgrade. Only a file beside
   this one is loaded, so that markup in a text of the page cannot name a script of its own. */
async function importLive(address) {
  const folder = (url) => new URL(".", url).href;
  const url = new URL(address, document.baseURI);
  if (folder(url) !== folder(import.meta.url)) throw new Error(`${url} is not beside ${import.meta.url}.`);
  return (await import(url)).Live;
}

/* The bells of this page, for example one in the header for phones and one in that for large screens. */
const bells = new Set();

/* The one bell that announces what is new: that whose list is open, or the first one that the user sees. */
function findAnnouncer() {
  const all = [...bells];
  return all.find((bell) => !bell.panel.hidden) ?? all.find((bell) => bell.checkVisibility()) ?? all[0];
}

class NotificationBell extends HTMLElement {
  async connectedCallback() {
    this.listeners = new AbortController();
    const { signal } = this.listeners;
    // Until then, and if it fails, the element contains a link to the inbox.
    const Live = await importLive(this.dataset.live);
    if (signal.aborted) return;
    if (!this.shadowRoot) this.#build();
    this.live = new Live(
      {
        feed: this.dataset.feed,
        change: this.dataset.change,
        stream: this.dataset.stream,
        socket: this.dataset.socket,
      },
      this.dataset.key,
      this.dataset.token,
      this.dataset.cookie,
    );
    this.items = new Map();
    this.live.addEventListener("inbox", (event) => this.#receive(event.detail));
    this.live.addEventListener("message", (event) => this.#tell(event.detail));
    this.live.addEventListener("end", () => this.#end());
    document.addEventListener("pointerdown", (event) => this.#closeFromOutside(event), { signal });
    // A page in the cache for "back" must not hold the lock.
    addEventListener("pagehide", () => this.live.stop(), { signal });
    addEventListener("pageshow", (event) => event.persisted && this.live.start(), { signal });
    document.addEventListener("visibilitychange", () => this.#renderTimes(), { signal });
    this.clock = setInterval(() => this.#renderTimes(), 60_000);
    bells.add(this);
    this.live.start();
  }

  disconnectedCallback() {
    bells.delete(this);
    this.listeners.abort();
    this.live?.stop();
    clearInterval(this.clock);
  }

  #say(name, values = {}) {
    const text = this.labels[name] ?? name;
    return text.replace(/%\((\w+)\)s/g, (_, key) => values[key] ?? "");
  }

  #count(name, count) {
    const forms = this.labels[name];
    const rule = new Intl.PluralRules(this.language).select(count);
    return (forms[rule] ?? forms.other).replace("%d", count);
  }

  #build() {
    this.labels = JSON.parse(this.dataset.labels);
    this.language = this.dataset.language;
    // The panel is placed in the direction of the page; what is in it has that of its language.
    const { direction } = this.dataset;
    this.badge = make("span", { class: "badge", "aria-hidden": "true", hidden: true });
    this.button = make(
      "button",
      {
        type: "button",
        class: "bell",
        part: "bell",
        "aria-expanded": "false",
        "aria-controls": "panel",
        "aria-label": this.#say("notifications"),
        onclick: () => this.#toggle(),
      },
      makeBell(),
      this.badge,
    );
    this.list = make("ul", { class: "list", dir: direction });
    this.empty = make("p", { class: "empty", dir: direction }, this.#say("empty"));
    this.allRead = make("button", { type: "button", class: "quiet", hidden: true, onclick: () => this.#readAll() }, this.#say("readAll"));
    this.panel = make(
      "section",
      { id: "panel", class: "panel", part: "panel", "aria-label": this.#say("notifications"), hidden: true },
      make("header", { dir: direction }, make("h2", {}, this.#say("notifications")), this.allRead),
      this.list,
      this.empty,
      make(
        "footer",
        { dir: direction },
        make("a", { href: this.dataset.inbox }, this.#say("seeAll")),
        this.dataset.push ? make("a", { href: this.dataset.push }, this.#say("push")) : null,
      ),
    );
    this.status = make("p", { class: "spoken", role: "status", "aria-live": "polite" });
    this.toasts = make("div", { class: "toasts", part: "toasts" });
    const root = this.attachShadow({ mode: "open" });
    // The page preloads the styles.
    const style = make("link", { rel: "stylesheet", href: this.dataset.style });
    root.append(style, this.button, this.panel, this.status, this.toasts);
    root.addEventListener("keydown", (event) => this.#press(event));
    // It reaches the element itself only if the focus leaves it.
    this.addEventListener("focusout", (event) => event.relatedTarget && this.#close());
  }

  /* What the server says. */
  #receive({ counts, items, isLive, isWhole }) {
    const added = [];
    const isAgain = isWhole && this.total !== undefined;
    this.hidden &&= !this.hasEnded;
    this.hasEnded = false;
    if (isWhole) this.items.clear();
    for (const item of items) {
      const known = this.items.get(item.id);
      if (known && known.revision >= item.revision) continue;
      if (!known && isLive && isListed(item) && !item.read_at && !item.seen_at) added.push(item);
      this.items.set(item.id, item);
    }
    if (counts) this.#renderCount(counts.total, isAgain || (Boolean(isLive) && items.length > 0));
    this.#renderList();
    if (added.length) this.#announce(added);
  }

  #end() {
    this.items.clear();
    this.toasts.replaceChildren();
    this.#close();
    this.hidden = true;
    this.hasEnded = true;
  }

  #renderCount(total, hasChanges) {
    this.total = total;
    this.badge.textContent = total > 99 ? "99+" : String(total);
    this.badge.hidden = total === 0;
    if (total === 0 && this.shadowRoot.activeElement === this.allRead) this.button.focus();
    this.allRead.hidden = total === 0;
    const name = total ? this.#count("unread", total) : this.#say("notifications");
    this.button.setAttribute("aria-label", name);
    const detail = { total, hasChanges };
    this.dispatchEvent(new CustomEvent("notification-count", { detail, bubbles: true, composed: true }));
  }

  /* Elements that stay are not moved, so that the focus stays where it is. */
  #renderList() {
    const newest = [...this.items.values()]
      .filter(isListed)
      .sort((one, other) => other.created_at.localeCompare(one.created_at) || other.id - one.id);
    for (const item of newest.slice(SHOWN * 2)) this.items.delete(item.id);
    const shown = newest.slice(0, SHOWN);
    const rows = new Map([...this.list.children].map((row) => [row.dataset.id, row]));
    const keys = new Set(shown.map((item) => String(item.id)));
    for (const [key, row] of rows) if (!keys.has(key)) this.#remove(row);
    shown.forEach((item, place) => {
      const old = rows.get(String(item.id));
      const row = old ?? make("li", { "data-id": item.id });
      if (row.dataset.revision !== String(item.revision)) this.#fill(row, item);
      if (this.list.children[place] !== row) this.list.insertBefore(row, this.list.children[place] ?? null);
    });
    this.empty.hidden = shown.length > 0;
    this.list.hidden = shown.length === 0;
  }

  /* The focus of a row that disappears goes to the list's neighbour, not to the top of the page. */
  #remove(row) {
    const hadFocus = row.contains(this.shadowRoot.activeElement);
    const next = row.nextElementSibling ?? row.previousElementSibling;
    row.remove();
    if (hadFocus) (next?.querySelector("a") ?? this.button).focus();
  }

  #fill(row, item) {
    const focused = row.contains(this.shadowRoot.activeElement)
      ? [...row.querySelectorAll("a, button")].indexOf(this.shadowRoot.activeElement)
      : -1;
    row.dataset.revision = item.revision;
    row.className = item.read_at ? "" : "unread";
    const id = `title-${item.id}`;
    const address = isSafe(item.url) ? item.url : item.page;
    const link = make(
      "a",
      { href: address, onclick: () => this.#read(item), onauxclick: () => this.#read(item) },
      make("span", { class: "title", dir: "auto", id }, item.title || item.label),
      item.read_at ? null : make("span", { class: "spoken" }, ` (${this.#say("isUnread")})`),
      item.text ? make("span", { class: "text", dir: "auto" }, item.text) : null,
      this.#makeTime(item.created_at),
    );
    if (!address.startsWith("/")) link.rel = "noopener noreferrer";
    const buttons = item.actions.map((action) =>
      make(
        "button",
        {
          type: "button",
          class: action.is_primary ? "action primary" : "action",
          "aria-describedby": id,
          onclick: (event) => this.#act(event.currentTarget, item, action),
        },
        action.label,
      ),
    );
    const label = this.#say("read");
    const tick = { type: "button", class: "tick", title: label, "aria-label": label, "aria-describedby": id };
    row.replaceChildren(
      this.#makeIcon(item),
      make("div", { class: "main" }, link, buttons.length ? make("div", { class: "actions" }, ...buttons) : ""),
      item.read_at ? "" : make("button", { ...tick, onclick: () => this.#read(item) }, "✓"),
    );
    if (focused >= 0) ([...row.querySelectorAll("a, button")][focused] ?? row.querySelector("a")).focus();
  }

  #makeIcon(item) {
    const icon = item.icon;
    const content = !icon
      ? makeBell()
      : isImage(icon) && isSafe(icon)
        ? make("img", { src: icon, alt: "", loading: "lazy" })
        : icon;
    return make("span", { class: `icon ${item.priority}`, "aria-hidden": "true" }, content);
  }

  #makeTime(text) {
    const time = new Date(text);
    const exact = time.toLocaleString(this.language, { dateStyle: "full", timeStyle: "short" });
    return make("time", { datetime: text, title: exact }, this.#relate(time));
  }

  #relate(time) {
    const seconds = (time - Date.now()) / 1000;
    const format = new Intl.RelativeTimeFormat(this.language, { numeric: "auto" });
    const [unit, size] = UNITS.find(([, length]) => Math.abs(seconds) >= length) ?? [];
    return unit ? format.format(Math.round(seconds / size), unit) : format.format(0, "second");
  }

  #renderTimes() {
    if (document.visibilityState !== "visible") return;
    for (const time of this.list.querySelectorAll("time")) time.textContent = this.#relate(new Date(time.dateTime));
  }

  /* What the user does. */
  async #attempt(work) {
    try {
      await work();
    } catch {
      this.status.textContent = this.#say("failed");
      this.#addToast(make("p", {}, this.#say("failed")));
    }
  }

  #read(item) {
    if (item.read_at) return;
    this.#attempt(() => this.live.change("read", [item.id]));
    // After the click, because a link that is replaced during it leads nowhere.
    setTimeout(() => this.#assume(item, { read_at: new Date().toISOString() }));
  }

  #readAll() {
    this.#attempt(() => this.live.change("read", "all"));
    for (const item of this.items.values()) if (!item.read_at) this.#assume(item, { read_at: new Date().toISOString() });
    this.button.focus();
  }

  /* A button that becomes disabled would lose the focus. */
  async #act(button, item, action) {
    if (button.ariaDisabled === "true") return;
    button.ariaDisabled = "true";
    await this.#attempt(() => this.live.post(`${item.page}act/${action.name}/`));
    button.ariaDisabled = null;
  }

  /* Show a change at once. The stream confirms it with a higher revision. */
  #assume(item, values) {
    const changed = { ...item, ...values };
    this.items.set(item.id, changed);
    const row = [...this.list.children].find((one) => one.dataset.id === String(item.id));
    if (row) this.#fill(row, changed);
  }

  #toggle() {
    if (this.panel.hidden) this.#open();
    else this.#close();
  }

  #open() {
    this.panel.hidden = false;
    this.button.setAttribute("aria-expanded", "true");
    for (const bell of bells) bell.toasts.replaceChildren();
    this.#renderTimes();
    const unseen = [...this.items.values()].filter((item) => isListed(item) && !item.seen_at).map((item) => item.id);
    if (unseen.length) this.#attempt(() => this.live.change("seen", unseen));
  }

  #close() {
    this.panel.hidden = true;
    this.button.setAttribute("aria-expanded", "false");
  }

  #press(event) {
    if (event.key !== "Escape" || this.panel.hidden) return;
    event.stopPropagation();
    this.#close();
    this.button.focus();
  }

  #closeFromOutside(event) {
    if (!event.composedPath().includes(this)) this.#close();
  }

  /* Toasts, in tabs that the user sees. The text is in a live region, which is polite and takes no focus. */
  #announce(items) {
    if (this.live.isLeading && this.dataset.sound) this.#play();
    if (document.visibilityState !== "visible" || findAnnouncer() !== this) return;
    const isOne = items.length === 1;
    const text = isOne ? items[0].title || items[0].label : this.#count("news", items.length);
    this.status.textContent = text;
    if (this.dataset.toasts === "off" || !this.panel.hidden) return;
    const [item] = items;
    const address = isOne ? (isSafe(item.url) ? item.url : item.page) : this.dataset.inbox;
    const link = make(
      "a",
      { href: address, onclick: () => isOne && this.#read(item) },
      make("span", { class: "title", dir: "auto" }, text),
      isOne && item.text ? make("span", { class: "text", dir: "auto" }, item.text) : null,
    );
    this.#addToast(link);
  }

  /* A message that is not in the list. */
  #tell({ title, text, url }) {
    if (document.visibilityState !== "visible" || findAnnouncer() !== this) return;
    this.status.textContent = title;
    if (this.dataset.toasts === "off") return;
    const words = [
      make("span", { class: "title", dir: "auto" }, title),
      text ? make("span", { class: "text", dir: "auto" }, text) : null,
    ];
    this.#addToast(isSafe(url) ? make("a", { href: url }, ...words) : make("p", {}, ...words));
  }

  #addToast(content) {
    const close = make("button", { type: "button", class: "close", "aria-label": this.#say("close") }, "×");
    const toast = make("div", { class: "toast", dir: this.dataset.direction }, content, close);
    const remove = () => this.#removeToast(toast);
    let timer = setTimeout(remove, TOAST_MILLISECONDS);
    // It stays as long as somebody points at it or is in it.
    for (const name of ["pointerenter", "focusin"]) toast.addEventListener(name, () => clearTimeout(timer));
    for (const name of ["pointerleave", "focusout"]) {
      toast.addEventListener(name, () => {
        clearTimeout(timer);
        timer = setTimeout(remove, TOAST_MILLISECONDS);
      });
    }
    close.addEventListener("click", remove);
    this.toasts.append(toast);
    while (this.toasts.children.length > MAX_TOASTS) this.#removeToast(this.toasts.firstElementChild);
  }

  /* The focus of a toast that disappears goes to the next one, or to the bell. */
  #removeToast(toast) {
    const hadFocus = toast.contains(this.shadowRoot.activeElement);
    const next = toast.nextElementSibling ?? toast.previousElementSibling;
    toast.remove();
    if (hadFocus) (next?.querySelector(".close") ?? this.button).focus();
  }

  #play() {
    // A browser plays sounds only after the user has used the page.
    new Audio(this.dataset.sound).play().catch(() => undefined);
  }
}

if (!customElements.get("notification-bell")) customElements.define("notification-bell", NotificationBell);
