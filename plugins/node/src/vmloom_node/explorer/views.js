// The pages. Each is a function of the words of the address that gives the elements to show.

const PER_PAGE = 20;
const statusBadge = (receipt) => (!receipt ? badge("pending", "warn") : receipt.status === "0x1" ? badge("success", "good") : receipt.status === "0x0" ? badge("failed", "bad") : badge("mined"));

async function blocksDown(from, count) {
  const numbers = [];
  for (let at = from; at >= 0 && numbers.length < count; at--) numbers.push(`0x${at.toString(16)}`);
  return (await Promise.all(numbers.map((at) => rpc("eth_getBlockByNumber", at, true)))).filter(Boolean);
}
async function receiptsOf(blocks) {
  const found = new Map();
  const lists = await Promise.all(blocks.filter((block) => block.transactions.length).map((block) => or(rpc("eth_getBlockReceipts", block.number), [])));
  for (const receipt of lists.flat()) if (receipt) found.set(receipt.transactionHash, receipt);
  return found;
}
function blockRows(blocks, known) {
  return blocks.map((block) => make("tr", { class: known && !known.has(block.hash) ? "fresh" : null },
    cell(blockLink(block.number)), cell(make("span", { title: date(block.timestamp) }, ago(block.timestamp))), cell(number(block.transactions.length), "number"),
    cell([number(block.gasUsed), meter(plain(block.gasUsed) / Math.max(1, plain(block.gasLimit)))], "number"),
    cell(block.baseFeePerGas ? gwei(block.baseFeePerGas) : "", "number"), cell(hashLink("block", block.hash))));
}
function transactionRows(transactions, receipts) {
  return transactions.map((one) => {
    const receipt = receipts.get(one.hash);
    const to = one.to ? addressLink(one.to) : [make("span", { class: "quiet" }, "creates "), receipt && receipt.contractAddress ? addressLink(receipt.contractAddress) : ""];
    return make("tr", {}, cell(hashLink("tx", one.hash)), cell(one.blockNumber ? blockLink(one.blockNumber) : ""), cell(addressLink(one.from)), cell(to),
      cell(vmBadge(receipt && receipt.vm)), cell(ether(one.value), "number"), cell(receipt ? number(receipt.gasUsed) : "", "number"), cell(statusBadge(receipt)));
  });
}
const TRANSACTION_HEADS = ["Hash", "Block", "From", "To", "VM", "#Value", "#Gas used", "Result"];

let seenBlocks = null;
async function home(before) {
  const [info, headNumber, gasPrice, pool] = await Promise.all([
    or(rpc("vmloom_nodeInfo"), {}), rpc("eth_blockNumber"), or(rpc("eth_gasPrice"), null), or(rpc("txpool_status"), {})]);
  const chainId = await rpc("eth_chainId");
  const from = before === undefined ? plain(headNumber) : Math.min(plain(headNumber), Math.max(0, plain(before)));
  const blocks = await blocksDown(from, PER_PAGE);
  const receipts = await receiptsOf(blocks);
  const transactions = blocks.flatMap((block) => [...block.transactions].reverse()).slice(0, 25);
  const known = before === undefined ? seenBlocks : null;
  if (before === undefined) seenBlocks = new Set(blocks.map((block) => block.hash));
  const head = blocks[0] || {};
  const last = from - blocks.length;
  const older = make("a", { href: `#/blocks/${last}` }, "Older blocks");
  const newer = make("a", { href: from + PER_PAGE >= plain(headNumber) ? "#/" : `#/blocks/${from + PER_PAGE}` }, "Newer blocks");
  return ["Blocks", [
    make("h1", {}, "The chain"),
    facts([
      ["Newest block", blockLink(headNumber)], ["Chain id", number(chainId)], gasPrice ? ["Gas price", gwei(gasPrice)] : null,
      head.baseFeePerGas ? ["Base fee", gwei(head.baseFeePerGas)] : null, pool.pending ? ["In the pool", `${number(pool.pending)} ready, ${number(pool.queued)} waiting`] : null,
      info.hardfork ? ["Fork", info.hardfork] : null, info.mining ? ["Mining", info.mining] : null, info.store ? ["Store", info.store] : null,
      Array.isArray(info.vms) ? ["Machines", info.vms.map((vm) => (typeof vm === "string" ? vm : vm.name)).join(", ")] : null,
    ], "big"),
    make("h2", {}, "Blocks"),
    table(["Block", "Age", "#Transactions", "#Gas used", "#Base fee", "Hash"], blockRows(blocks, known), "Blocks"),
    make("div", { class: "bar" }, from < plain(headNumber) ? newer : null, last >= 0 ? older : null),
    make("h2", {}, "Transactions"),
    transactions.length ? table(TRANSACTION_HEADS, transactionRows(transactions, receipts), "Transactions") : note("There are none in these blocks."),
  ]];
}

async function blockPage(which) {
  const block = which.startsWith("0x") && which.length === 66 ? await rpc("eth_getBlockByHash", which, true) : await rpc("eth_getBlockByNumber", `0x${big(which).toString(16)}`, true);
  if (!block) return missing(`There is no block ${which}.`);
  const receipts = await receiptsOf([block]), at = plain(block.number);
  const logs = [...receipts.values()].reduce((sum, receipt) => sum + receipt.logs.length, 0);
  return [`Block ${at}`, [
    make("h1", {}, `Block ${number(block.number)}`),
    make("div", { class: "bar" }, at > 0 ? make("a", { href: `#/block/${at - 1}` }, "Previous") : null, make("a", { href: `#/block/${at + 1}` }, "Next")),
    make("div", { class: "panel" }, facts([
      ["Time", `${date(block.timestamp)} (${ago(block.timestamp)})`], ["Transactions", number(block.transactions.length)], ["Logs", number(logs)],
      ["Gas used", [`${number(block.gasUsed)} of ${number(block.gasLimit)}`, meter(plain(block.gasUsed) / Math.max(1, plain(block.gasLimit)))]],
      block.baseFeePerGas ? ["Base fee", gwei(block.baseFeePerGas)] : null, ["Size", plural(block.size, "byte")], ["Fees to", addressLink(block.miner)],
      block.blobGasUsed ? ["Blob gas", number(block.blobGasUsed)] : null, block.withdrawals ? ["Withdrawals", number(block.withdrawals.length)] : null,
      ["Hash", make("code", {}, block.hash), true], ["Parent", at > 0 ? hashLink("block", block.parentHash, true) : make("code", {}, block.parentHash), true],
      ["State root", make("code", {}, block.stateRoot), true],
    ])),
    make("h2", {}, "Transactions"),
    block.transactions.length ? table(TRANSACTION_HEADS, transactionRows(block.transactions, receipts), "Transactions") : note("There are none."),
    block.withdrawals && block.withdrawals.length ? [make("h2", {}, "Withdrawals"), table(["#Index", "Validator", "Address", "#Amount"],
      block.withdrawals.map((one) => make("tr", {}, cell(number(one.index), "number"), cell(number(one.validatorIndex)), cell(addressLink(one.address)), cell(gwei(big(one.amount) * 10n ** 9n), "number"))), "Withdrawals")] : null,
  ].flat()];
}

function logBox(log) {
  const topics = (log.topics || []).map((topic) => make("div", {}, make("code", { title: topic }, topic)));
  return make("tr", {}, cell(number(log.logIndex), "number"), cell(addressLink(log.address)), cell(topics.length ? topics : note("no topics"), "wide"), cell(hexBox(log.data, 600), "wide"));
}
async function transactionPage(hash) {
  const [one, receipt] = await Promise.all([rpc("eth_getTransactionByHash", hash), rpc("eth_getTransactionReceipt", hash)]);
  if (!one) return missing(`There is no transaction ${hash}.`);
  const block = one.blockNumber ? await or(rpc("eth_getBlockByNumber", one.blockNumber, false), null) : null;
  const [calls, diff] = receipt ? await Promise.all([
    rpc("debug_traceTransaction", hash, { tracer: "callTracer" }).catch((error) => error),
    rpc("debug_traceTransaction", hash, { tracer: "prestateTracer", tracerConfig: { diffMode: true } }).catch((error) => error)]) : [null, null];
  const frames = calls && !(calls instanceof Error) ? framesOf(calls) : null;
  const price = receipt ? receipt.effectiveGasPrice : one.gasPrice;
  return [`Transaction ${short(hash)}`, [
    make("h1", {}, "Transaction"),
    make("div", { class: "panel" }, facts([
      ["Result", [statusBadge(receipt), frames && frames[0].call.error ? ` ${errorOf(frames[0].call)}` : ""]],
      ["Block", one.blockNumber ? [blockLink(one.blockNumber), block ? ` (${ago(block.timestamp)})` : ""] : "in the pool"], ["Machine", vmBadge(receipt && receipt.vm)],
      ["Value", ether(one.value)], ["Gas used", receipt ? [`${number(receipt.gasUsed)} of ${number(one.gas)}`, meter(plain(receipt.gasUsed) / Math.max(1, plain(one.gas)))] : `at most ${number(one.gas)}`],
      price ? ["Gas price", gwei(price)] : null, receipt && price ? ["Fee", ether(big(receipt.gasUsed) * big(price))] : null, ["Nonce", number(one.nonce)], ["Type", number(one.type ?? 0)],
      ["Hash", make("code", {}, one.hash), true], ["From", addressLink(one.from, true), true],
      one.to ? ["To", addressLink(one.to, true), true] : ["Creates", receipt && receipt.contractAddress ? addressLink(receipt.contractAddress, true) : "a contract", true],
      ["Input", bytesOf(one.input) ? hexBox(one.input, 800) : "none", true],
    ])),
    frames ? [make("h2", {}, `Calls (${number(frames.length)})`), callTree(frames), ...gasGraph(frames)] : null,
    calls instanceof Error ? [make("h2", {}, "Calls"), make("p", { class: "notice" }, calls.message)] : null,
    diff && !(diff instanceof Error) ? changes(diff) : null,
    receipt ? [make("h2", {}, `Logs (${number(receipt.logs.length)})`), receipt.logs.length ? table(["#Log", "Address", "Topics", "Data"], receipt.logs.slice(0, 500).map(logBox), "Logs") : note("It wrote none.")] : null,
  ].flat()];
}
function changes(diff) {
  const slots = storageRows(diff), accounts = accountRows(diff);
  const row = ([address, what, before, after], kind) => make("tr", {}, cell(addressLink(address)), cell(what, kind), cell(before, kind), cell(after, kind));
  const word = (value) => make("code", { title: value }, shortWord(String(value).replace(/^0x0+(?=[0-9a-f])/, "0x")));
  return [
    make("h2", {}, "Storage changes"),
    slots.length ? table(["Account", "Slot", "Before", "After"], slots.slice(0, 1000).map(([address, ...words]) => row([address, ...words.map(word)])), "Storage changes") : note("No slot has another value than before."),
    slots.length > 1000 ? note(`${number(slots.length - 1000)} more.`) : null,
    make("h2", {}, "Account changes"),
    accounts.length ? table(["Account", "What", "Before", "After"], accounts.slice(0, 1000).map((one) => row(one)), "Account changes") : note("There are none."),
  ];
}

async function addressPage(address) {
  if (!/^0x[0-9a-fA-F]{40}$/.test(address)) return missing(`${address} is no address.`);
  const [balance, nonce, code, contracts] = await Promise.all([rpc("eth_getBalance", address, "latest"), rpc("eth_getTransactionCount", address, "latest"),
    rpc("eth_getCode", address, "latest"), or(rpc("vmloom_contracts"), [])]);
  const known = contracts.find((one) => one.address.toLowerCase() === address.toLowerCase());
  const slot = make("input", { placeholder: "Slot, such as 0 or 0x2a", "aria-label": "Slot", autocomplete: "off" }), found = make("output", { class: "mono", "aria-live": "polite" });
  const form = make("form", { class: "bar" }, slot, make("button", { type: "submit" }, "Read slot"), found);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try { found.textContent = await rpc("eth_getStorageAt", address, `0x${BigInt(slot.value.trim()).toString(16)}`, "latest"); } catch (error) { found.textContent = error.message; }
  });
  const size = bytesOf(code);
  return [`Address ${short(address)}`, [
    make("h1", {}, size ? "Contract" : "Account"),
    make("div", { class: "panel" }, facts([
      ["Balance", ether(balance)], ["Nonce", number(nonce)], size ? ["Code", plural(size, "byte")] : null, size ? ["Machine", vmBadge(known && known.vm)] : null,
      known && known.blockNumber ? ["Created in block", blockLink(known.blockNumber)] : null, known && known.creator ? ["Created by", addressLink(known.creator)] : null,
      known && known.transactionHash ? ["Created in", hashLink("tx", known.transactionHash)] : null, ["Address", make("code", {}, address), true],
    ])),
    make("h2", {}, "Storage"), form,
    size ? [make("h2", {}, "Code"), make("div", { class: "panel" }, hexBox(code, 4096))] : null,
  ].flat()];
}

async function contractsPage() {
  let contracts;
  try { contracts = await rpc("vmloom_contracts"); } catch (error) { return missing(`The node does not say which contracts there are: ${error.message}`); }
  const byVm = new Map();
  for (const one of contracts) {
    if (!byVm.has(one.vm)) byVm.set(one.vm, []);
    byVm.get(one.vm).push(one);
  }
  const groups = [...byVm].sort((one, other) => other[1].length - one[1].length);
  return ["Contracts", [
    make("h1", {}, "Contracts by machine"),
    groups.length ? facts(groups.map(([vm, list]) => [vm, [plural(list.length, "contract"), meter(list.length / contracts.length)]]), "big") : note("There is no contract."),
    ...groups.flatMap(([vm, list]) => [make("h2", {}, vm), table(["Address", "#Code", "Block", "Creator", "Transaction"],
      list.slice(0, 1000).map((one) => make("tr", {}, cell(addressLink(one.address)), cell(plural(one.codeSize, "byte"), "number"), cell(one.blockNumber !== null && one.blockNumber !== undefined ? blockLink(one.blockNumber) : "not by a transaction"),
        cell(one.creator ? addressLink(one.creator) : ""), cell(one.transactionHash ? hashLink("tx", one.transactionHash) : ""))), `Contracts of ${vm}`),
    list.length > 1000 ? note(`${number(list.length - 1000)} more.`) : null]),
  ]];
}

async function poolPage() {
  const content = await rpc("txpool_content");
  const rows = (part) => Object.entries(content[part] || {}).flatMap(([from, byNonce]) => Object.entries(byNonce).map(([nonce, one]) => [from, nonce, one]))
    .slice(0, 1000).map(([from, nonce, one]) => make("tr", {}, cell(hashLink("tx", one.hash)), cell(addressLink(from)), cell(nonce, "number"), cell(one.to ? addressLink(one.to) : "creates a contract"),
      cell(ether(one.value), "number"), cell(number(one.gas), "number"), cell(gwei(one.maxFeePerGas || one.gasPrice), "number")));
  const heads = ["Hash", "From", "#Nonce", "To", "#Value", "#Gas", "#Price"], ready = rows("pending"), queued = rows("queued");
  return ["Pool", [
    make("h1", {}, "Transactions that wait for a block"),
    make("h2", {}, "Ready"), ready.length ? table(heads, ready, "Ready") : note("None."),
    make("h2", {}, "Waiting for an earlier nonce"), queued.length ? table(heads, queued, "Waiting for an earlier nonce") : note("None."),
  ]];
}

function chart(values, label, unit) {
  const most = Math.max(...values, 1), wide = 600 / Math.max(values.length, 1);
  return make("div", { class: "panel" }, make("h3", {}, `${label}, at most ${number(Math.round(most))}${unit}`),
    make("svg", { class: "chart", viewBox: "0 0 600 110", preserveAspectRatio: "none", role: "img", "aria-label": label }, make("line", { x1: 0, x2: 600, y1: 109.5, y2: 109.5 }),
      values.map((value, at) => make("rect", { x: at * wide + 0.5, width: Math.max(1, wide - 1), y: 108 - 106 * value / most, height: Math.max(value ? 1 : 0, 106 * value / most) }, make("title", {}, number(Math.round(value)))))));
}
async function metricsPage() {
  const [metrics, head] = await Promise.all([rpc("vmloom_metrics").catch((error) => error), rpc("eth_blockNumber")]);
  const blocks = (await blocksDown(plain(head), 60)).reverse();
  const rows = metrics instanceof Error ? [] : Object.entries(metrics).sort(([one], [other]) => (one < other ? -1 : 1));
  return ["Metrics", [
    make("h1", {}, "Metrics"),
    make("div", { class: "pair" }, chart(blocks.map((block) => block.transactions.length), "Transactions of the last blocks", ""), chart(blocks.map((block) => plain(block.gasUsed)), "Gas of the last blocks", " gas")),
    make("h2", {}, "Counts since the start"),
    metrics instanceof Error ? make("p", { class: "notice" }, metrics.message) : table(["Name", "#Value"], rows.map(([name, value]) => make("tr", {}, cell(make("code", {}, name)), cell(typeof value === "number" ? value.toLocaleString("en-US", { maximumFractionDigits: 6 }) : String(value), "number"))), "Counts"),
    note("The same for Prometheus: /metrics"),
  ]];
}

function missing(text) { return ["Not found", [make("h1", {}, "Not found"), make("p", { class: "quiet" }, text), make("p", {}, make("a", { href: "#/" }, "To the newest blocks"))]]; }
