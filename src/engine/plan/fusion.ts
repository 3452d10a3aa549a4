/** What becomes one step: chains of operations that a kernel does while it has the numbers at hand. */
import { type Graph, type Value } from "../../graph/mod.ts";

/** A convolution or linear layer with what follows it. */
export interface Layer {
  readonly producer: Value;
  /** Vectors [C] that are added to every pixel. */
  bias?: Value;
  /** [N, C, 1, 1], added to every pixel of a picture. */
  embedding?: Value;
  /** Added pixel by pixel. */
  residual?: Value;
  scale: number;
  silu: boolean;
  /** The value that all this computes. */
  root: Value;
}

/** softmax(q·kᵀ·scale)·v. */
export interface AttentionMatch {
  readonly q: Value;
  readonly k: Value;
  readonly v: Value;
  readonly scale: number;
}

export interface Fusions {
  /** By the value they compute. */
  readonly layers: ReadonlyMap<Value, Layer>;
  readonly attentions: ReadonlyMap<Value, AttentionMatch>;
  /** SiLU values by the group norm that computes them on the way. */
  readonly normSilu: ReadonlyMap<Value, Value>;
  /** Values that need no memory of their own, because a step goes past them. */
  readonly inner: ReadonlySet<Value>;
}

/** The number of a constant scalar; undefined for other values. */
function scalarOf(value: Value): number | undefined {
  const { op, attributes } = value.node;
  if (op !== "constant" || value.shape.some((d) => d !== 1)) return undefined;
  return attributes.data instanceof Float32Array ? attributes.data[0] : undefined;
}

/** Whether a matrix product is a linear layer: x·wᵀ with learned w. */
export function isLinear(value: Value): boolean {
  const { op, inputs, attributes } = value.node;
  return op === "matmul" && ["param", "constant"].includes(inputs[1].node.op) &&
    inputs[1].shape.length === 2 &&
    attributes.transposeB === true && attributes.transposeA !== true;
}

export function findFusions(graph: Graph, live: ReadonlySet<Value>): Fusions {
  const users = new Map<Value, Value[]>();
  for (const value of live) {
    for (const input of value.node.inputs) {
      if (!users.has(input)) users.set(input, []);
      users.get(input)!.push(value);
    }
  }
  const outputs = new Set(graph.outputs.values());
  /** The only value that reads this one, where there is just one. */
  const onlyUser = (value: Value): Value | undefined => {
    const all = users.get(value) ?? [];
    return all.length === 1 && !outputs.has(value) ? all[0] : undefined;
  };

  const inner = new Set<Value>();
  /** What is a part of a layer: the first that meets it has it. */
  const taken = new Set<Value>();
  const layers = new Map<Value, Layer>();
  const attentions = new Map<Value, AttentionMatch>();
  const normSilu = new Map<Value, Value>();

  for (const value of live) {
    const match = attentionOf(value, onlyUser);
    if (!match) continue;
    attentions.set(value, match);
    for (const v of match.between) inner.add(v);
  }
  for (const value of live) {
    const { op } = value.node;
    if (op === "groupNorm") {
      const user = onlyUser(value);
      if (user?.node.op === "silu") {
        normSilu.set(user, value);
        inner.add(value);
      }
    }
    if (op !== "conv2d" && !isLinear(value)) continue;
    const layer = layerFrom(value, onlyUser, taken);
    layers.set(layer.root, layer);
    for (const v of layer.passed) {
      inner.add(v);
      taken.add(v);
    }
    taken.add(layer.root);
  }
  return { layers, attentions, normSilu, inner };
}

function attentionOf(value: Value, onlyUser: (v: Value) => Value | undefined) {
  const { op, inputs, attributes } = value.node;
  if (op !== "matmul" || attributes.transposeA || attributes.transposeB) return undefined;
  const [probabilities, v] = inputs;
  if (probabilities.node.op !== "softmax" || onlyUser(probabilities) !== value) return undefined;
  const between = [probabilities];
  let scores = probabilities.node.inputs[0];
  let scale = 1;
  if (onlyUser(scores) !== probabilities) return undefined;
  if (scores.node.op === "mul") {
    const factor = scalarOf(scores.node.inputs[1]);
    if (factor === undefined) return undefined;
    scale = factor;
    between.push(scores);
    const product = scores.node.inputs[0];
    if (onlyUser(product) !== scores) return undefined;
    scores = product;
  }
  const { inputs: [q, k], attributes: how } = scores.node;
  if (scores.node.op !== "matmul" || how.transposeA || !how.transposeB) return undefined;
  const lead = (x: Value) => x.shape.slice(0, -2).join();
  if (q.shape.length > 4 || lead(q) !== lead(k) || lead(q) !== lead(v)) return undefined;
  between.push(scores);
  return { q, k, v, scale, between };
}

function layerFrom(
  producer: Value,
  onlyUser: (v: Value) => Value | undefined,
  taken: ReadonlySet<Value>,
): Layer & { passed: Value[] } {
  const layer: Layer = { producer, scale: 1, silu: false, root: producer };
  if (producer.node.op === "conv2d") layer.bias = producer.node.inputs[2];
  const passed: Value[] = [];
  let scaled = false;
  for (;;) {
    const { root } = layer;
    const user = onlyUser(root);
    if (!user || taken.has(user) || layer.silu) break;
    const { op, inputs } = user.node;
    const other = inputs.find((input) => input !== root);
    if (op === "add" && other && !scaled) {
      if (isBias(other, root) && !layer.bias && !layer.embedding && !layer.residual) {
        layer.bias = other;
      } else if (isEmbedding(other, root) && !layer.embedding) layer.embedding = other;
      else if (other.shape.join() === root.shape.join() && !layer.residual) {
        layer.residual = other;
      } else break;
    } else if (op === "mul" && other && scalarOf(other) !== undefined && !scaled) {
      layer.scale = scalarOf(other)!;
      scaled = true;
    } else if (op === "silu") layer.silu = true;
    else if (turnsToPixels(user, root)) {
      // [N, P, C] → [N, C, P] → [N, C, H, W]: pixels either way.
      const shaped = onlyUser(user);
      if (!shaped || shaped.node.op !== "reshape" || shaped.shape.length !== 4) break;
      if (shaped.shape[1] !== user.shape[1] || taken.has(shaped)) break;
      passed.push(root, user);
      layer.root = shaped;
      continue;
    } else break;
    passed.push(root);
    layer.root = user;
  }
  return { ...layer, passed };
}

function isBias(value: Value, root: Value): boolean {
  const channels = root.shape.length === 4 ? undefined : root.shape.at(-1);
  return value.node.op === "param" && value.shape.length === 1 && value.shape[0] === channels;
}

function isEmbedding(value: Value, root: Value): boolean {
  const [n, c, h, w] = value.shape;
  return root.shape.length === 4 && value.shape.length === 4 && n === root.shape[0] &&
    c === root.shape[1] && h === 1 && w === 1 && !(root.shape[2] === 1 && root.shape[3] === 1);
}

function turnsToPixels(user: Value, root: Value): boolean {
  return user.node.op === "transpose" && root.shape.length === 3 &&
    (user.node.attributes.perm as number[]).join() === "0,2,1";
}
