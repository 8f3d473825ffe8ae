/**
 * The live inbox of a page: what has changed, from one stream for all tabs of a browser.
 *
 * The tab that holds the lock has the stream and hands every message to the others over a BroadcastChannel. When it
 * closes, another tab takes the lock and continues from its own cursor. In falling order, the stream is server-sent
 * events, a WebSocket, or a request from time to time.
 *
 * Events: "inbox" (detail: revision, counts, items, isLive, isWhole), "message" (detail: a message of the channel
 * websocket), "end" (the user has signed out). If `isWhole` is true, the items are the newest ones of the list, and
 * others that the page has shown are no longer in it. After "end", "inbox" can follow: see #returnLater.
 */

const POLL_MILLISECONDS = 30_000;
const SILENCE_MILLISECONDS = 60_000;
const RETRY_MILLISECONDS = 3_000;
const UPGRADE_MILLISECONDS = 60_000;
const MAX_FAILURES = 3;
const MAX_PAGES = 5;
const RETURN_MILLISECONDS = [5_000, 15_000];

const isRefused = (response) => response.status === 401 || response.status === 403 || response.redirected;

export class Live extends EventTarget {
  /**
   * @param {object} addresses - `feed`, `change`, and, if the site has them, `stream` and `socket`: paths.
   * @param {string} key - a text that differs between users.
   * @param {string} token - the CSRF token of the page.
   * @param {string} cookie - the name of the cookie that contains the present token, if scripts can read it.
   */
  constructor(addresses, key, token, cookie = "") {
    super();
    this.addresses = addresses;
    this.name = `notifications:${key}`;
    this.token = token;
    this.cookie = cookie;
    this.cursor = null;
    this.revision = -1;
    this.told = new Set();
    this.isOpen = false;
  }

  async start() {
    if (this.isOpen) return;
    this.stop();
    this.isOpen = true;
    this.abort = new AbortController();
    // Before the first request, so that nothing that the leading tab hands on meanwhile is missed.
    this.channel = "BroadcastChannel" in globalThis ? new BroadcastChannel(this.name) : null;
    this.channel?.addEventListener("message", (event) => this.#hear(event.data));
    try {
      await this.load();
    } catch {
      // The tab that leads tries again.
    }
    if (this.isOpen) this.#elect();
  }

  stop() {
    clearTimeout(this.returning);
    this.returning = null;
    if (!this.isOpen) return;
    this.isOpen = false;
    this.abort.abort();
    this.release?.();
    this.#closeTransport();
    this.channel?.close();
    this.channel = null;
  }

  /** Load the newest items and the counts, and continue from there. */
  async load() {
    const before = this.revision;
    const message = { ...(await this.#fetchJson(`${this.addresses.feed}?limit=10`)), isWhole: true };
    // Unless something newer has arrived in the meantime, a lower revision is that of a database from a backup.
    message.isReset = this.revision === before;
    this.#receive(message, false);
    return message;
  }

  /** Change items: `name` is "read", "seen", …; `ids` is a list, or "all". */
  async change(name, ids, values = {}) {
    const body = new URLSearchParams({ do: name, ...values });
    if (ids === "all") body.set("all", "1");
    else for (const id of ids) body.append("item", id);
    return this.post(this.addresses.change, body);
  }

  /** Send a form, and take the counts from the answer. */
  async post(address, body = new URLSearchParams()) {
    let response = await this.#send(address, body, this.#findToken());
    // A login in another tab has changed the token. Nothing was done, so the form can be sent again.
    if (response.status === 403) response = await this.#send(address, body, await this.#loadToken());
    const answer = await this.#readJson(response);
    const counts = { revision: answer.revision, counts: answer.counts, items: [] };
    this.#receive(counts, false);
    this.channel?.postMessage({ type: "inbox", message: counts });
    return answer;
  }

  /* The token is a field of the form, because a site can give the header another name. */
  #send(address, body, token) {
    body.set("csrfmiddlewaretoken", token);
    // With `keepalive`, the request is completed even if the page is left.
    return this.#fetch(address, { method: "POST", body, keepalive: true });
  }

  #findToken() {
    const start = `${this.cookie}=`;
    const pair = this.cookie ? document.cookie.split("; ").findLast((one) => one.startsWith(start)) : null;
    return pair ? pair.slice(start.length) : this.token;
  }

  async #loadToken() {
    this.token = (await this.#fetchJson(`${this.addresses.feed}?limit=1&token=1`)).token;
    return this.token;
  }

  #fetch(address, options) {
    const headers = { Accept: "application/json" };
    return fetch(address, { credentials: "same-origin", cache: "no-store", headers, ...options });
  }

  async #fetchJson(address) {
    const response = await this.#fetch(address, { signal: this.abort?.signal });
    if (isRefused(response)) this.#end();
    return this.#readJson(response);
  }

  async #readJson(response) {
    if (isRefused(response)) throw new Error("The user is not signed in, or may not do this.");
    if (!response.ok) throw new Error(`${response.url} answered ${response.status}.`);
    return response.json();
  }

  /* One message: from the stream, from another tab, or from the answer to a request. */
  #receive(message, isLive) {
    const isNew = message.revision >= this.revision || message.isReset;
    if (message.cursor && (this.cursor === null || isNew)) this.cursor = message.cursor;
    if (isNew) this.revision = message.revision;
    // The counts are absolute, so those of a lower revision are out of date. Items carry their own revisions.
    const detail = { ...message, counts: isNew ? message.counts : null, isLive, isWhole: isNew && Boolean(message.isWhole) };
    this.dispatchEvent(new CustomEvent("inbox", { detail }));
  }

  #hear({ type, message }) {
    if (type === "end") this.#end(false);
    else if (type === "message") this.#tell(message);
    else if (type === "inbox") this.#receive(message, Boolean(message.cursor) && !message.isWhole);
  }

  /* A message is shown once, also if it comes again after a lost connection. */
  #tell(message) {
    if (this.told.has(message.id)) return;
    this.told.add(message.id);
    this.dispatchEvent(new CustomEvent("message", { detail: message }));
  }

  #leadMessage(message) {
    this.#isAlive();
    this.#tell(message);
    this.channel?.postMessage({ type: "message", message });
  }

  #end(isFirst = true) {
    if (!this.isOpen) return;
    if (isFirst) this.channel?.postMessage({ type: "end" });
    this.stop();
    this.dispatchEvent(new Event("end"));
    this.#returnLater(RETURN_MILLISECONDS);
  }

  /* Users who change their password stay signed in, in a new session. The stream of the old one can end before the
     browser has the cookie of the new one. A request at once would still have the old cookie, and Django would answer it
     by deleting the cookie, perhaps the new one. */
  #returnLater([pause, ...others]) {
    if (!pause) return;
    const timer = setTimeout(async () => {
      const isSignedIn = await this.#isSignedIn();
      if (this.returning !== timer) return;
      if (isSignedIn) this.start();
      else this.#returnLater(others);
    }, pause);
    this.returning = timer;
  }

  async #isSignedIn() {
    try {
      const response = await fetch(`${this.addresses.feed}?limit=1`, { credentials: "same-origin", cache: "no-store" });
      return response.ok && !response.redirected;
    } catch {
      return false;
    }
  }

  /* Leading. Without locks (on plain http), each tab asks for itself from time to time, because a browser opens only six
     connections to a site. */
  #elect() {
    if (!navigator.locks || !this.channel) {
      this.#poll();
      return;
    }
    navigator.locks
      .request(this.name, { signal: this.abort.signal }, () => {
        if (!this.isOpen) return undefined;
        this.isLeading = true;
        this.#openFirst();
        return new Promise((resolve) => {
          this.release = () => {
            this.isLeading = false;
            resolve();
          };
        });
      })
      .catch(() => undefined);
  }

  #openFirst() {
    this.failures = 0;
    if (this.addresses.stream) this.#openStream();
    else if (this.addresses.socket) this.#openSocket();
    else this.#poll();
  }

  #openStream() {
    const source = new EventSource(this.#address(this.addresses.stream));
    this.transport = source;
    source.addEventListener("open", () => this.#isAlive());
    source.addEventListener("beat", () => this.#isAlive());
    source.addEventListener("inbox", (event) => this.#lead(JSON.parse(event.data)));
    source.addEventListener("message", (event) => this.#leadMessage(JSON.parse(event.data)));
    source.addEventListener("resync", () => this.#resync());
    source.addEventListener("end", () => this.#end());
    source.addEventListener("error", () => {
      // The browser itself connects again, unless it was refused.
      if (source.readyState === EventSource.CLOSED) this.#fail();
    });
    this.#isAlive();
  }

  #openSocket() {
    const address = new URL(this.#address(this.addresses.socket), location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address);
    this.transport = socket;
    const handlers = {
      inbox: (message) => this.#lead(message),
      message: (message) => this.#leadMessage(message),
      beat: () => this.#isAlive(),
      resync: () => this.#resync(),
      end: () => this.#end(),
    };
    socket.addEventListener("message", (event) => {
      const message = JSON.parse(event.data);
      handlers[message.type]?.(message);
    });
    socket.addEventListener("open", () => this.#isAlive());
    socket.addEventListener("close", () => {
      if (this.transport === socket) this.#fail(true);
    });
    this.#isAlive();
  }

  #address(path) {
    return this.cursor === null ? path : `${path}?since=${encodeURIComponent(this.cursor)}`;
  }

  #lead(message) {
    this.failures = 0;
    this.#isAlive();
    this.#receive(message, true);
    this.channel?.postMessage({ type: "inbox", message });
    // Thousands of changes, such as after "mark all as read": the newest items and the counts are enough.
    if (message.has_more) this.#resync();
  }

  /* A stream says something at least every half minute. */
  #isAlive() {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.#resync(), SILENCE_MILLISECONDS);
  }

  async #resync() {
    this.#closeTransport();
    try {
      await this.#reload();
    } catch {
      // The stream begins with its last cursor instead.
    }
    if (this.isOpen && this.isLeading) this.#openFirst();
  }

  /* A refused stream: signed out, too many of them, or a server that cannot stream or restarts. */
  async #fail(isSocket = false) {
    this.#closeTransport();
    this.failures += 1;
    await this.#catchUp();
    if (!this.isOpen) return;
    if (this.failures < MAX_FAILURES) {
      const again = () => (isSocket ? this.#openSocket() : this.#openStream());
      this.timer = setTimeout(again, RETRY_MILLISECONDS * (0.5 + Math.random()));
    } else if (!isSocket && this.addresses.socket) {
      this.failures = 0;
      this.#openSocket();
    } else {
      this.#poll(UPGRADE_MILLISECONDS);
    }
  }

  /* Ask from time to time; after `upgrade` milliseconds, try to stream again. */
  #poll(upgrade = Infinity) {
    const until = Date.now() + upgrade;
    const ask = async () => {
      await this.#catchUp();
      if (!this.isOpen) return;
      if (Date.now() < until) this.timer = setTimeout(ask, POLL_MILLISECONDS);
      else this.#openFirst();
    };
    this.timer = setTimeout(ask, POLL_MILLISECONDS);
  }

  /* Load the newest items for all tabs. */
  async #reload() {
    const message = await this.load();
    if (this.isLeading) this.channel?.postMessage({ type: "inbox", message });
  }

  async #catchUp() {
    try {
      if (this.cursor === null) return await this.load();
      for (let page = 0; page < MAX_PAGES; page += 1) {
        const message = await this.#fetchJson(this.#address(this.addresses.feed));
        this.#receive(message, true);
        if (this.isLeading) this.channel?.postMessage({ type: "inbox", message });
        if (!message.has_more) return undefined;
      }
      return await this.#reload();
    } catch {
      // It asks again later; a refusal has ended it.
      return undefined;
    }
  }

  #closeTransport() {
    clearTimeout(this.silence);
    clearTimeout(this.timer);
    const transport = this.transport;
    this.transport = null;
    transport?.close();
  }
}
