const note = (text) => make("p", { class: "quiet" }, text);

// Numbers as the node writes them, 0x-hex, and as people read them.
const big = (value) => { try { return BigInt(value); } catch { return 0n; } };
const plain = (value) => Number(big(value ?? 0));
const number = (value) => (value === null || value === undefined ? "not told" : big(value).toLocaleString("en-US"));
const plural = (value, one) => `${number(value)} ${one}${big(value) === 1n ? "" : "s"}`;
const short = (hex) => (typeof hex === "string" && hex.length > 16 ? `${hex.slice(0, 8)}…${hex.slice(-6)}` : String(hex));
const shortWord = (hex) => (typeof hex === "string" && hex.length > 26 ? `${hex.slice(0, 12)}…${hex.slice(-8)}` : String(hex));
const bytesOf = (hex) => (typeof hex === "string" ? Math.max(0, (hex.length - 2) / 2) : 0);
function scaled(value, digits) {
  const unit = 10n ** BigInt(digits), whole = big(value);
  const rest = (whole % unit).toString().padStart(digits, "0").replace(/0+$/, "");
  return `${(whole / unit).toLocaleString("en-US")}${rest ? `.${rest}` : ""}`;
}
const ether = (value) => (big(value) && big(value) < 10n ** 12n ? `${number(value)} wei` : `${scaled(value, 18)} ether`);
const gwei = (value) => (big(value) && big(value) < 10n ** 4n ? `${number(value)} wei` : `${scaled(value, 9)} gwei`);
function ago(timestamp) {
  const seconds = Math.floor(Date.now() / 1000) - plain(timestamp);
  if (seconds < -60) return `in ${span(-seconds)}`;
  return seconds < 2 ? "now" : `${span(seconds)} ago`;
}
function span(seconds) {
  for (const [size, name] of [[86400, "d"], [3600, "h"], [60, "min"]]) if (seconds >= size) return `${number(Math.floor(seconds / size))} ${name}`;
  return `${seconds} s`;
}
function date(timestamp) {
  const moment = new Date(plain(timestamp) * 1000);
  return Number.isNaN(moment.getTime()) ? number(timestamp) : `${moment.toISOString().replace("T", " ").slice(0, 19)} UTC`;
}

// What contracts say when they revert: Error(string) and Panic(uint256), as solidity and vyper encode them.
function reasonOf(output) {
  const hex = String(output || "").slice(2);
  if (hex.startsWith("4e487b71") && hex.length >= 72) return `panic 0x${hex.slice(8, 72).replace(/^0+/, "") || "0"}`;
  if (!hex.startsWith("08c379a0") || hex.length < 136) return "";
  const size = Math.min(parseInt(hex.slice(120, 136), 16) || 0, 300);
  const pairs = hex.slice(136, 136 + 2 * size).match(/../g) || [];
  return new TextDecoder().decode(Uint8Array.from(pairs, (pair) => parseInt(pair, 16)));
}

// Parts that all pages use
const blockLink = (value) => make("a", { href: `#/block/${big(value)}` }, number(value));
const hashLink = (kind, hash, whole) => make("a", { href: `#/${kind}/${encodeURIComponent(hash)}`, class: "mono", title: hash }, whole ? hash : short(hash));
const addressLink = (address, whole) => (address ? hashLink("address", address, whole) : make("span", { class: "quiet" }, "none"));
const badge = (text, kind) => make("span", { class: `badge ${kind || ""}` }, text);
function facts(rows, kind) {
  return make("dl", { class: `facts ${kind || ""}` }, rows.filter(Boolean).map(([name, value, wide]) =>
    make("div", { class: wide ? "wide" : null }, make("dt", {}, name), make("dd", {}, value))));
}
function table(heads, rows, label) {
  const head = make("tr", {}, heads.map((text) => make("th", { scope: "col", class: text.startsWith("#") ? "number" : null }, text.replace("#", ""))));
  return make("div", { class: "panel", tabindex: 0, role: "region", "aria-label": label }, make("table", {}, make("thead", {}, head), make("tbody", {}, rows)));
}
const cell = (content, kind) => make("td", { class: kind || null }, content);
function meter(part) {
  const wide = Math.max(0, Math.min(100, 100 * part));
  return make("svg", { class: "meter", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
    make("rect", { class: "track", width: 100, height: 6 }), make("rect", { class: "part", width: wide, height: 6 }));
}
function hexBox(hex, limit = 4096) {
  const text = String(hex);
  if (text.length <= limit) return make("pre", { class: "mono hex" }, text);
  const box = make("pre", { class: "mono hex" }, `${text.slice(0, limit)}…`);
  const more = make("button", { type: "button" }, `All ${number(bytesOf(text))} bytes`);
  more.addEventListener("click", () => { box.textContent = text; more.remove(); });
  return make("div", {}, box, more);
}
function vmBadge(vm) { return badge(vm || "evm", vm && vm !== "evm" ? "good" : ""); }

// JSON-RPC: one request for all that is asked for in one turn of the page.
class RpcError extends Error {
  constructor(error, method) {
    super(`${method}: ${error && error.message ? error.message : "no answer"}`);
    this.code = error ? error.code : 0;
  }
}
let waiting = [], nextId = 1;
function rpc(method, ...params) {
  return new Promise((resolve, reject) => {
    if (!waiting.length) queueMicrotask(flush);
    waiting.push({ id: nextId++, method, params, resolve, reject });
  });
}
const AT_ONCE = 100;
function flush() {
  const all = waiting;
  waiting = [];
  for (let from = 0; from < all.length; from += AT_ONCE) post(all.slice(from, from + AT_ONCE));
}
async function post(calls) {
  const body = JSON.stringify(calls.map(({ id, method, params }) => ({ jsonrpc: "2.0", id, method, params })));
  try {
    const response = await fetch("/", { method: "POST", headers: { "content-type": "application/json" }, body });
    const answer = await response.json();
    const byNumber = new Map((Array.isArray(answer) ? answer : [answer]).map((one) => [one.id, one]));
    for (const call of calls) {
      const one = byNumber.get(call.id);
      if (one && one.error === undefined) call.resolve(one.result);
      else call.reject(new RpcError(one ? one.error : answer.error, call.method));
    }
  } catch (error) {
    for (const call of calls) call.reject(error);
  }
}
const or = (promise, otherwise) => promise.catch(() => otherwise);
