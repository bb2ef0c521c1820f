// A transaction's calls, as the callTracer gives them, as a tree and as a flame graph of gas.

function framesOf(root) {
  // All frames in order, each with the number of its parent. Depth is bounded by the machine, width is not.
  const frames = [], open = [[root, -1, 0]];
  while (open.length) {
    const [call, parent, depth] = open.pop();
    const index = frames.length;
    frames.push({ call, parent, depth, used: plain(call.gasUsed), children: [] });
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
  const openAt = {};
  let shown = 1;
  for (let index = 0; index < frames.length && index < 2000 && shown < 60; index++) {
    if (index && !openAt[frames[index].parent]) continue;
    if (frames[index].children.length > 40 || frames[index].depth > 12) continue;
    openAt[index] = true;
    shown += frames[index].children.length;
  }
  const row = (index) => {
    const { call, used } = frames[index];
    return make("span", { class: `row ${stateOf(call)}` }, make("span", { class: "kind" }, call.type || "CALL"),
      call.to ? addressLink(call.to) : null, call.vm && call.vm !== "evm" ? vmBadge(call.vm) : null,
      make("span", {}, `${number(used)} gas`),
      bytesOf(call.input) >= 4 && !/CREATE/.test(call.type || "") ? make("code", { title: `input, ${plural(bytesOf(call.input), "byte")}` }, call.input.slice(0, 10)) : null,
      call.value && big(call.value) ? make("span", {}, ether(call.value)) : null,
      call.error ? make("span", { class: "why" }, errorOf(call)) : null);
  };
  const item = (index) => {
    const below = frames[index].children;
    if (!below.length) return make("li", { class: "leaf" }, row(index));
    const details = make("details", {}, make("summary", {}, row(index)));
    const fill = () => {
      if (details.children.length > 1) return;
      const list = make("ul");
      details.append(list);
      more(list, below, 0);
    };
    details.addEventListener("toggle", fill);
    if (openAt[index]) { details.open = true; fill(); }
    return make("li", {}, details);
  };
  const more = (list, below, from) => {
    list.append(...below.slice(from, from + 200).map(item));
    const left = below.length - from - 200;
    if (left <= 0) return;
    const button = make("button", { type: "button" }, `${number(left)} more`), last = make("li", {}, button);
    button.addEventListener("click", () => { last.remove(); more(list, below, from + 200); });
    list.append(last);
  };
  return make("div", { class: "panel tree", id: "tree" }, make("ul", {}, item(0)));
}

function flameGraph(frames) {
  const BAR = 22, place = make("div", { class: "flame", id: "flame" });
  const text = make("p", { class: "quiet flame-text", "aria-live": "polite" });
  const out = make("button", { type: "button", disabled: "" }, "Zoom out");
  const shades = new Map();
  let zoomed = 0;
  const shade = ({ call }) => {
    if (call.error) return "lost";
    const key = call.to || "";
    if (!shades.has(key)) shades.set(key, shades.size % 5);
    return `f${shades.get(key)}`;
  };
  const inside = (index) => frames[index].children.reduce((sum, child) => sum + frames[child].used, 0);
  const say = (index) => {
    const { call, used } = frames[index], whole = frames[0].used, own = Math.max(0, used - inside(index));
    const share = whole ? `, ${(100 * used / whole).toFixed(1)}% of all` : "";
    return [call.type, call.to, `${number(used)} gas${share}, ${number(own)} of it its own`, errorOf(call)].filter(Boolean).join(" · ");
  };
  const boxes = (width) => {
    const found = [], open = [[zoomed, 0, width, 0]];
    while (open.length) {
      const [index, x, wide, line] = open.pop();
      found.push([index, x, wide, line]);
      const whole = Math.max(frames[index].used, inside(index), 1);
      let at = x;
      for (const child of frames[index].children) {
        const part = wide * frames[child].used / whole;
        if (part >= 0.6) open.push([child, at, part, line + 1]);
        at += part;
      }
    }
    return found;
  };
  const box = ([index, x, wide, line]) => {
    const { call, used } = frames[index];
    const group = make("g", { tabindex: wide > 12 ? 0 : -1, role: "button", "aria-label": say(index) },
      make("rect", { x, y: line * BAR, width: Math.max(wide, 0.6), height: BAR - 1, rx: 2, class: shade(frames[index]) }));
    const room = Math.floor((wide - 8) / 7.3), label = `${call.type || "CALL"} ${call.to ? short(call.to) : ""} ${number(used)}`;
    if (room > 3) group.append(make("text", { x: x + 5, y: line * BAR + 15 }, label.length > room ? `${label.slice(0, room - 1)}…` : label));
    const zoom = () => { zoomed = index; draw(); };
    group.addEventListener("click", zoom);
    group.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); zoom(); } });
    for (const name of ["mouseenter", "focus"]) group.addEventListener(name, () => { text.textContent = say(index); });
    return group;
  };
  function draw() {
    const width = place.clientWidth || 900, above = [];
    for (let index = frames[zoomed].parent; index >= 0 && above.length < 6; index = frames[index].parent) above.unshift(index);
    const rows = above.map((index, line) => [index, 0, width, line])
      .concat(boxes(width).map(([index, x, wide, line]) => [index, x, wide, line + above.length]));
    rows.sort((one, other) => other[2] - one[2]);
    const height = (rows.reduce((most, row) => Math.max(most, row[3]), 0) + 1) * BAR;
    place.replaceChildren(make("svg", { height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "Flame graph of gas" },
      rows.slice(0, 4000).map(box)));
    out.disabled = zoomed === 0;
    text.textContent = say(zoomed);
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
