/* The page on which a user subscribes this browser to push messages. */

const page = document.querySelector("[data-push]");
const toggle = page.querySelector("button[data-toggle]");

function show(state) {
  for (const text of page.querySelectorAll("[data-state]")) text.hidden = text.dataset.state !== state;
  toggle.hidden = !["on", "off"].includes(state);
  toggle.textContent = state === "on" ? toggle.dataset.stop : toggle.dataset.start;
  page.dataset.current = state;
}

function decode(text) {
  const bytes = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
  return Uint8Array.from(bytes, (letter) => letter.charCodeAt(0));
}

function encode(buffer) {
  const letters = String.fromCharCode(...new Uint8Array(buffer));
  return btoa(letters).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

async function post(address, values) {
  const send = () => {
    const body = new URLSearchParams({ ...values, csrfmiddlewaretoken: page.dataset.token });
    return fetch(address, { method: "POST", body });
  };
  let response = await send();
  if (response.status === 403) {
    // A login in another tab has changed the token. A fresh page has the new one.
    const fresh = new DOMParser().parseFromString(await (await fetch(location.href)).text(), "text/html");
    page.dataset.token = fresh.querySelector("[data-push]")?.dataset.token ?? page.dataset.token;
    response = await send();
  }
  if (!response.ok) throw new Error(`${address} answered ${response.status}.`);
}

async function store(subscription) {
  await post(page.dataset.subscribe, {
    endpoint: subscription.endpoint,
    p256dh: encode(subscription.getKey("p256dh")),
    auth: encode(subscription.getKey("auth")),
    server_key: page.dataset.serverKey,
  });
}

/* The subscription of this browser, if it was made with the present key of the site. */
async function find(registration) {
  const subscription = await registration.pushManager.getSubscription();
  const key = subscription?.options.applicationServerKey;
  if (subscription && key && encode(key) !== page.dataset.serverKey) {
    await subscription.unsubscribe();
    return null;
  }
  return subscription;
}

async function start(registration) {
  if ((await Notification.requestPermission()) !== "granted") return show("denied");
  const subscription = await registration.pushManager.subscribe({
    userVisibleOnly: true,
    applicationServerKey: decode(page.dataset.serverKey),
  });
  await store(subscription);
  return show("on");
}

async function stop(registration) {
  const subscription = await registration.pushManager.getSubscription();
  if (subscription) {
    await post(page.dataset.unsubscribe, { endpoint: subscription.endpoint });
    await subscription.unsubscribe();
  }
  show("off");
}

async function run() {
  if (!("serviceWorker" in navigator) || !("PushManager" in globalThis)) return show("unsupported");
  if (Notification.permission === "denied") return show("denied");
  const registration = await navigator.serviceWorker.register(page.dataset.worker);
  toggle.addEventListener("click", async () => {
    toggle.disabled = true;
    try {
      await (page.dataset.current === "on" ? stop(registration) : start(registration));
    } catch {
      show("failed");
    }
    toggle.disabled = false;
  });
  const subscription = await find(registration);
  // Stored again, because the push service may have given it a new address, or another user used this browser before.
  if (subscription) await store(subscription);
  return show(subscription ? "on" : "off");
}

run().catch(() => show("failed"));
