// What a dapp does with a node, by viem: `node viem.mjs URL WEBSOCKET-URL TOKEN.json` prints what it saw as JSON.
import { readFileSync } from "node:fs";
import {
  BaseError, ContractFunctionRevertedError, createPublicClient, createTestClient, createWalletClient, http, parseEther, webSocket,
} from "viem";
import { mnemonicToAccount } from "viem/accounts";
import { foundry } from "viem/chains";

const [url, websocketUrl, file] = process.argv.slice(2);
const { abi, bytecode } = JSON.parse(readFileSync(file, "utf8"));
const account = mnemonicToAccount("test test test test test test test test test test test junk");
const OTHER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const seen = {};

const transport = http(url, { batch: true });
const client = createPublicClient({ chain: foundry, transport, pollingInterval: 100, cacheTime: 0 });
const wallet = createWalletClient({ chain: foundry, transport, account });
const node = createTestClient({ chain: foundry, transport, mode: "anvil" });
const mined = async (hash) => client.waitForTransactionReceipt({ hash });
seen.chainId = await client.getChainId();

// Deploy, and send with keys of the script's own
const { contractAddress: address } = await mined(await wallet.deployContract({ abi, bytecode }));
seen.code = (await client.getCode({ address })).length > 2;
const write = async (functionName, args, more = {}) => mined(await wallet.writeContract({ address, abi, functionName, args, ...more }));
const read = (functionName, args, more = {}) => client.readContract({ address, abi, functionName, args, ...more });
await write("mint", [account.address, 1000n]);
const receipt = await write("transfer", [OTHER, 30n]);
seen.status = receipt.status;
seen.balances = [await read("balanceOf", [account.address]), await read("balanceOf", [OTHER])];

// Events: by a query, by a filter, and as they happen
const logs = await client.getContractEvents({ address, abi, eventName: "Transfer", args: { sender: account.address }, fromBlock: 0n });
seen.queried = logs.map((log) => log.args.amount);
const filter = await client.createContractEventFilter({ address, abi, eventName: "Transfer" });
const heard = new Promise((resolve) => {
  const stop = client.watchContractEvent({ address, abi, eventName: "Transfer", onLogs: (found) => { stop(); resolve(found[0].args.amount); } });
});
await new Promise((resolve) => setTimeout(resolve, 300)); // the watcher's filter is made first
await write("transfer", [OTHER, 5n]);
seen.heard = await heard;
seen.filtered = (await client.getFilterChanges({ filter })).map((log) => log.args.amount);
seen.uninstalled = await client.uninstallFilter({ filter });

// Reverts with reasons: of a simulation, an estimate, and a transaction
const reason = async (act) => {
  try { await act(); return "nothing was thrown"; } catch (error) {
    if (!(error instanceof BaseError)) throw error;
    const reverted = error.walk((one) => one instanceof ContractFunctionRevertedError);
    return reverted?.reason ?? error.details;
  }
};
seen.callReverts = await reason(() => client.simulateContract({ address, abi, functionName: "transfer", args: [account.address, 1000n], account: OTHER }));
seen.estimateReverts = await reason(() => client.estimateContractGas({ address, abi, functionName: "mint", args: [OTHER, 1n], account: OTHER }));
await node.impersonateAccount({ address: OTHER });
const failing = await createWalletClient({ chain: foundry, transport }).writeContract({ account: OTHER, address, abi, functionName: "mint", args: [OTHER, 1n], gas: 100000n });
seen.transactionReverts = (await mined(failing)).status;

// Blocks, traces, fees, proofs, past and overridden state
const block = await client.getBlock({ blockNumber: receipt.blockNumber, includeTransactions: true });
seen.block = [block.transactions[0].hash === receipt.transactionHash, block.transactions[0].from === account.address.toLowerCase(), block.baseFeePerGas > 0n];
const trace = await client.request({ method: "debug_traceTransaction", params: [receipt.transactionHash, { tracer: "callTracer" }] });
seen.trace = [trace.type, BigInt(trace.gasUsed) === receipt.gasUsed, trace.to === address];
seen.fees = (await client.estimateFeesPerGas()).maxFeePerGas > 0n;
seen.past = await read("balanceOf", [OTHER], { blockNumber: receipt.blockNumber - 1n });
const proof = await client.getProof({ address, storageKeys: [`0x${"00".repeat(32)}`], blockNumber: receipt.blockNumber });
seen.proof = [proof.accountProof.length > 0, proof.storageProof.length];
seen.overridden = await client.getBalance({ address: OTHER }) > 0n;
const simulated = await client.simulateCalls({ account: account.address, calls: [{ to: OTHER, value: parseEther("1") }, { to: address, abi, functionName: "balanceOf", args: [OTHER] }] });
seen.simulated = simulated.results.map((one) => [one.status, one.result ?? null]);

// The test client: balance, snapshot, time
await node.setBalance({ address: OTHER, value: 77n });
seen.set = await client.getBalance({ address: OTHER });
const id = await node.snapshot();
await node.mine({ blocks: 3 });
const high = await client.getBlockNumber();
await node.revert({ id });
seen.reverted = Number(high - (await client.getBlockNumber()));
await node.increaseTime({ seconds: 1000 });
await node.mine({ blocks: 1 });
const [older, newer] = await Promise.all([client.getBlock({ blockNumber: (await client.getBlockNumber()) - 1n }), client.getBlock()]);
seen.time = newer.timestamp - older.timestamp > 900n; // blocks made at once are a second apart, ahead of the clock

// By WebSocket: new heads
const socket = webSocket(websocketUrl);
const live = createPublicClient({ chain: foundry, transport: socket });
let stop;
const head = new Promise((resolve) => { stop = live.watchBlockNumber({ onBlockNumber: resolve }); });
await new Promise((resolve) => setTimeout(resolve, 500));
const before = await client.getBlockNumber();
await node.mine({ blocks: 1 });
seen.head = (await head) >= before;
stop();
console.log(JSON.stringify(seen, (_, value) => (typeof value === "bigint" ? Number(value) : value)));
process.exit(0);
