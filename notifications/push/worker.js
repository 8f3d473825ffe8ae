/* The service worker of web push. It shows messages that the browser does not show by itself (declarative web push). */

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("push", (event) => {
  const { title, navigate, ...options } = event.data?.json().notification ?? {};
  event.waitUntil(self.registration.showNotification(title ?? "", { ...options, data: { navigate } }));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const { navigate } = event.notification.data ?? {};
  if (navigate) event.waitUntil(show(new URL(navigate, self.location.href).href));
});

async function show(address) {
  const windows = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  const open = windows.find((one) => one.url === address);
  return open ? open.focus() : self.clients.openWindow(address);
}
