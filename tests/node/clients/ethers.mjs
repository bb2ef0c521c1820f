// What a dapp does with a node, by ethers: `node ethers.mjs URL WEBSOCKET-URL TOKEN.json` prints what it saw as JSON.
import { readFileSync } from "node:fs";
import { Contract, ContractFactory, JsonRpcProvider, NonceManager, Wallet, WebSocketProvider, parseEther } from "ethers";

const [url, websocketUrl, file] = process.argv.slice(2);
const { abi, bytecode } = JSON.parse(readFileSync(file, "utf8"));
const KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const OTHER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const seen = {};

const provider = new JsonRpcProvider(url, undefined, { polling: true, pollingInterval: 100, cacheTimeout: -1 });
const wallet = new NonceManager(new Wallet(KEY, provider));
const owner = await wallet.getAddress();
seen.chainId = (await provider.getNetwork()).chainId;

// Deploy, and send with keys of the script's own
const token = await new ContractFactory(abi, bytecode, wallet).deploy();
await token.waitForDeployment();
seen.code = (await provider.getCode(await token.getAddress())).length > 2;
await (await token.mint(owner, 1000n)).wait();
const receipt = await (await token.transfer(OTHER, 30n)).wait();
seen.status = receipt.status;
seen.balances = [await token.balanceOf(owner), await token.balanceOf(OTHER)];

// Events: in the receipt, by a query, and as they happen
seen.logged = receipt.logs.map((log) => token.interface.parseLog(log)).map(({ name, args }) => [name, args.receiver, args.amount]);
seen.queried = (await token.queryFilter(token.filters.Transfer(owner))).map(({ args }) => args.amount);
const heard = new Promise((resolve) => token.once(token.filters.Transfer(owner), (event) => resolve(event.args?.amount ?? event.args[2])));
await new Promise((resolve) => setTimeout(resolve, 300)); // the listener's filter is made first
await (await token.transfer(OTHER, 5n)).wait();
seen.heard = await heard;

// What the node signs itself
const signer = await provider.getSigner(1);
seen.sent = (await (await signer.sendTransaction({ to: owner, value: parseEther("1") })).wait()).gasUsed;

// Reverts with reasons: of a call, an estimate, and a transaction
const reason = async (act) => { try { await act(); return "nothing was thrown"; } catch (error) { return error.reason ?? error.shortMessage; } };
const poor = token.connect(signer);
seen.callReverts = await reason(() => poor.transfer.staticCall(owner, 1000n));
seen.estimateReverts = await reason(() => poor.mint.estimateGas(owner, 1n));
const failing = await poor.mint(owner, 1n, { gasLimit: 100000n });
seen.transactionReverts = await failing.wait().then(() => "mined well", (error) => [error.code, error.receipt.status]);

// Blocks, traces, fees, past state
const block = await provider.getBlock(receipt.blockNumber, true);
seen.block = [block.transactions.includes(receipt.hash), block.prefetchedTransactions[0].from === owner, block.baseFeePerGas > 0n];
const trace = await provider.send("debug_traceTransaction", [receipt.hash, { tracer: "callTracer" }]);
seen.trace = [trace.type, BigInt(trace.gasUsed) === receipt.gasUsed, trace.to.toLowerCase() === (await token.getAddress()).toLowerCase()];
seen.fees = (await provider.getFeeData()).maxFeePerGas > 0n;
seen.past = await token.balanceOf(OTHER, { blockTag: receipt.blockNumber - 1 });
seen.storage = (await provider.getStorage(await token.getAddress(), 0n)).length;

// By WebSocket: new heads
const socket = new WebSocketProvider(websocketUrl);
const head = new Promise((resolve) => socket.once("block", resolve));
await socket.getBlockNumber();
await new Promise((resolve) => setTimeout(resolve, 300));
const before = await provider.getBlockNumber();
await provider.send("evm_mine", []);
seen.head = (await head) >= before + 1;
console.log(JSON.stringify(seen, (_, value) => (typeof value === "bigint" ? Number(value) : value)));
process.exit(0);
