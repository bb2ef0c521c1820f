// Which page the address means, and when it is drawn again.

const ROUTES = [
  [/^\/?$/, () => home(), true], [/^\/blocks\/(\d+)$/, home, false], [/^\/block\/(\d+|0x[0-9a-fA-F]{64})$/, blockPage, false],
  [/^\/tx\/(0x[0-9a-fA-F]{64})$/, transactionPage, false], [/^\/address\/([^/]+)$/, addressPage, true], [/^\/contracts$/, contractsPage, true],
  [/^\/pool$/, poolPage, true], [/^\/metrics$/, metricsPage, true],
];
let drawing = 0;
function route() {
  let path = location.hash.slice(1);
  try { path = decodeURIComponent(path); } catch { /* what cannot be decoded is no page */ }
  for (const [pattern, show, live] of ROUTES) {
    const match = pattern.exec(path);
    if (match) return { show: () => show(...match.slice(1)), live, path };
  }
  return { show: async () => missing(`There is no page ${path}.`), live: false, path };
}
let pending = null;
async function draw(fresh) {
  const turn = ++drawing, { show, path } = route(), place = byId("view");
  let title, parts;
  try { [title, parts] = await show(); } catch (error) {
    [title, parts] = ["Error", [make("h1", {}, "The node did not answer"), make("p", { class: "notice", role: "alert" }, error.message)]];
  }
  if (turn !== drawing) return; // another page was asked for meanwhile
  const kept = fresh ? null : [scrollX, scrollY];
  const focused = !fresh && place.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  place.replaceChildren(...parts.filter(Boolean));
  if (focused) for (const link of place.querySelectorAll("a")) if (link.getAttribute("href") === focused) { link.focus({ preventScroll: true }); break; }
  document.title = `${title} · vmloom node`;
  for (const link of document.querySelectorAll("nav a")) {
    const target = link.getAttribute("href").slice(1);
    if (target === path || (target === "/" && /^\/?$|^\/block|^\/tx/.test(path))) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  if (kept) scrollTo(...kept); else scrollTo(0, 0);
  document.documentElement.dataset.ready = path || "/";
}
function redraw() {
  // At most four times a second, and not under somebody who types.
  if (pending || !route().live || document.hidden) return;
  pending = setTimeout(() => {
    pending = null;
    if (!byId("view").contains(document.activeElement) || document.activeElement === byId("view") || document.activeElement.tagName !== "INPUT") draw(false);
  }, 250);
}

// New blocks come by WebSocket; without one the node is asked every two seconds.
const state = (text, kind) => { const place = byId("link-state"); place.textContent = text; place.className = `badge ${kind}`; };
let lastSeen = null, polling = 0, wait = 1000;
async function poll() {
  try {
    const now = await rpc("eth_blockNumber");
    state("polling", "good");
    if (now !== lastSeen) { lastSeen = now; redraw(); }
  } catch { state("offline", "bad"); }
}
function listen() {
  let socket;
  try { socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/`); } catch { return; }
  socket.addEventListener("open", () => socket.send(JSON.stringify({ jsonrpc: "2.0", id: 1, method: "eth_subscribe", params: ["newHeads"] })));
  socket.addEventListener("message", (event) => {
    const message = JSON.parse(event.data);
    if (message.id === 1 && message.result) {
      wait = 1000;
      clearInterval(polling);
      polling = 0;
      state("live", "good");
    } else if (message.method === "eth_subscription") redraw();
  });
  socket.addEventListener("close", () => {
    if (!polling) polling = setInterval(poll, 2000);
    poll();
    wait = Math.min(30000, 2 * wait);
    setTimeout(listen, wait);
  });
}

byId("search").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = byId("query").value.trim();
  if (/^\d+$/.test(text)) location.hash = `#/block/${text}`;
  else if (/^0x[0-9a-fA-F]{40}$/.test(text)) location.hash = `#/address/${text}`;
  else if (/^0x[0-9a-fA-F]{64}$/.test(text)) location.hash = (await or(rpc("eth_getTransactionByHash", text), null)) ? `#/tx/${text}` : `#/block/${text}`;
  else location.hash = `#/${encodeURIComponent(text)}`;
});
addEventListener("hashchange", () => draw(true));
document.addEventListener("visibilitychange", redraw);
draw(true);
listen();
setInterval(redraw, 5000); // ages and counts go on without new blocks
