// A transaction's calls, as the callTracer gives them, as a tree and as a flame graph of gas.

function framesOf(root) {
  // All frames in order, each with the number of its parent. Depth is bounded by the machine, width is not.
  const frames = [], open = [[root, -1, 0]];
  while (open.length) {
    const [call, parent, depth] = open.pop();
    const index = frames.length;
    frames.push({ call, parent, depth, gas: plain(call.gasUsed), children: [] });
    if (parent >= 0) frames[parent].children.push(index);
    const below = Array.isArray(call.calls) ? call.calls : [];
    for (let at = below.length - 1; at >= 0; at--) open.push([below[at], index, depth + 1]);
  }
  return frames;
}
const isRevert = (call) => /revert/i.test(call.error || "");
const stateOf = (call) => (!call.error ? "" : isRevert(call) ? "reverted" : "failed");
const errorOf = (call) => [call.error, call.revertReason || reasonOf(isRevert(call) ? call.output : "")].filter(Boolean).join(": ");

function callTree(frames) {
  const row = (index) => {
    const { call, gas } = frames[index];
    return make("span", { class: `row ${stateOf(call)}` }, make("span", { class: "kind" }, call.type || "CALL"),
      call.to ? addressLink(call.to) : null, call.vm && call.vm !== "evm" ? vmBadge(call.vm) : null,
      make("span", {}, `${number(gas)} gas`),
      bytesOf(call.input) >= 4 && !/CREATE/.test(call.type || "") ? make("code", { title: `input, ${plural(bytesOf(call.input), "byte")}` }, call.input.slice(0, 10)) : null,
      call.value && big(call.value) ? make("span", {}, ether(call.value)) : null,
      call.error ? make("span", { class: "why" }, errorOf(call)) : null);
  };
  return make("div", { class: "panel tree", id: "tree" }, treeOfCalls(frames, row));
}

function gasGraph(frames) {
  const place = make("div", { class: "flame", id: "flame" });
  const text = make("p", { class: "quiet flame-text", "aria-live": "polite" });
  const out = make("button", { type: "button", disabled: "" }, "Zoom out");
  const shades = new Map();
  let zoomed = 0;
  const shade = (index) => {
    const { call } = frames[index], key = call.to || "";
    if (call.error) return "lost";
    if (!shades.has(key)) shades.set(key, shades.size % 5);
    return `f${shades.get(key)}`;
  };
  const label = (index) => {
    const { call, gas } = frames[index];
    return `${call.type || "CALL"} ${call.to ? short(call.to) : ""} ${number(gas)}`;
  };
  const say = (index) => {
    const { call, gas } = frames[index];
    return [call.type, call.to, `${number(gas)} gas${gasShares(frames, index)}`, errorOf(call)].filter(Boolean).join(" · ");
  };
  const zoom = (index) => { zoomed = index; draw(); };
  const tell = (index) => { text.textContent = say(index); };
  function draw() {
    const width = place.clientWidth || 900;
    place.replaceChildren(flameGraph(flameRows(frames, zoomed, width), width, { shade, label, say, zoom, tell }));
    out.disabled = zoomed === 0;
    tell(zoomed);
  }
  out.addEventListener("click", () => { zoomed = Math.max(0, frames[zoomed].parent); draw(); });
  let drawn = -1;
  new ResizeObserver(() => { if (place.clientWidth && place.clientWidth !== drawn) { drawn = place.clientWidth; draw(); } }).observe(place);
  draw();
  return [make("div", { class: "bar" }, make("h2", {}, "Gas by call"), out), make("div", { class: "panel" }, place, text)];
}

function storageRows(diff) {
  // The prestateTracer's difference: storage that was, and storage that is; what is gone is zero.
  const rows = [], pre = diff.pre || {}, post = diff.post || {};
  for (const address of new Set([...Object.keys(pre), ...Object.keys(post)])) {
    const before = (pre[address] || {}).storage || {}, after = (post[address] || {}).storage || {};
    for (const slot of new Set([...Object.keys(before), ...Object.keys(after)])) rows.push([address, slot, before[slot] || "0x0", after[slot] || "0x0"]);
  }
  return rows;
}
function accountRows(diff) {
  const rows = [], pre = diff.pre || {}, post = diff.post || {};
  for (const address of new Set([...Object.keys(pre), ...Object.keys(post)])) {
    const before = pre[address] || {}, after = post[address] || {};
    if (after.balance !== undefined && big(after.balance) !== big(before.balance ?? 0)) rows.push([address, "balance", ether(before.balance ?? 0), ether(after.balance)]);
    if (after.nonce !== undefined && big(after.nonce) !== big(before.nonce ?? 0)) rows.push([address, "nonce", number(before.nonce ?? 0), number(after.nonce)]);
    if (after.code !== undefined && after.code !== before.code) rows.push([address, "code", plural(bytesOf(before.code || "0x"), "byte"), plural(bytesOf(after.code), "byte")]);
  }
  return rows;
}
