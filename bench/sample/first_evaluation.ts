/** A program that loads the digits, evaluates the network once and says when it had done what. */
const spent = () => Math.round(performance.now());
const started = spent();
const { load } = await import("../../mod.ts");
const imported = spent();
await using model = await load("digits", { backend: Deno.args[0] as "wasm" });
const loaded = spent();
const x = new Float32Array(model.shape.reduce((a, b) => a * b));
await model.predict(x, new Float32Array([500]), model.labels && new Int32Array(1));
console.log(JSON.stringify({ started, imported, loaded, evaluated: spent() }));
