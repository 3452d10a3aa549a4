/** Products of two computed matrices, and attention. */
import type { Value } from "../../graph/mod.ts";
import type { AttentionMatch } from "./fusion.ts";
import { type Planner, UnsupportedGraph } from "./planner.ts";
import { broadcastTo, roundUp, type View } from "./view.ts";

/** Rows of a block. */
const BLOCK = 24;
/** Rows that a product may compute beyond the last. */
const SPARE = 5;

/** A matrix or two leading dimensions of them, its rows contiguous. */
function matrices(p: Planner, view: View, about: string): View {
  const dense = view.strides.at(-1) === 1 || view.dims.at(-1) === 1;
  const rows = dense ? view : p.asRows(view, about);
  const missing = 4 - rows.dims.length;
  if (missing < 0) throw new UnsupportedGraph(`a matrix product of ${rows.dims.length} dimensions`);
  return {
    ...rows,
    dims: [...Array(missing).fill(1), ...rows.dims],
    strides: [...Array(missing).fill(0), ...rows.strides],
  };
}

const swapped = (view: View): View => ({
  ...view,
  dims: [...view.dims.slice(0, -2), view.dims.at(-1)!, view.dims.at(-2)!],
  strides: [...view.strides.slice(0, -2), view.strides.at(-1)!, view.strides.at(-2)!],
});

export function lowerMatmul(p: Planner, value: Value): void {
  const { inputs: [left, right], attributes } = value.node;
  const view = attributes.transposeA ? swapped(p.view(left)) : p.view(left);
  let a = matrices(p, view, "matmul");
  let b = matrices(p, p.view(right), "matmul");
  const to = p.rowOutput(value);
  const y = matrices(p, to, "matmul");
  const [d0, d1, rows, columns] = y.dims;
  a = broadcastTo(a, [d0, d1, ...a.dims.slice(2)]);
  b = broadcastTo(b, [d0, d1, ...b.dims.slice(2)]);
  const inner = a.dims[3];
  const panels = Math.ceil(columns / 8);
  const shared = p.rowsOf([d0 * d1 * panels * inner * 8]);
  p.step("matmul", `matmul ${rows}×${inner}×${columns}`, [
    { place: a },
    ...[a.strides[2], a.strides[0], a.strides[1]].map((s) => 4 * s),
    { place: b },
    ...[b.strides[2], b.strides[0], b.strides[1]].map((s) => 4 * s),
    attributes.transposeB ? 1 : 0,
    { place: y },
    ...[y.strides[2], y.strides[0], y.strides[1]].map((s) => 4 * s),
    d0,
    d1,
    rows,
    inner,
    columns,
    BLOCK,
    { place: shared },
    { scratch: (BLOCK + SPARE) * panels * 32 },
  ]);
}

export function lowerAttention(p: Planner, value: Value, match: AttentionMatch): void {
  const heads = (view: View, about: string): View => {
    const rows = view.strides.at(-1) === 1 ? view : p.asRows(view, about);
    if (rows.dims.length === 4) return rows;
    const lead = rows.dims.length === 3 ? 1 : 2;
    return {
      ...rows,
      dims: rows.dims.length === 3
        ? [rows.dims[0], 1, ...rows.dims.slice(1)]
        : [1, 1, ...rows.dims],
      strides: lead === 1
        ? [rows.strides[0], 0, ...rows.strides.slice(1)]
        : [0, 0, ...rows.strides],
    };
  };
  const [q, k, v] = [match.q, match.k, match.v].map((x) => heads(p.view(x), "attention"));
  const dims = p.dims(value.shape);
  // [N, heads, L, d] lies as [N, L, heads, d], as the layer after it reads it.
  let to: View;
  if (dims.length === 4) {
    const [n, h, l, d] = dims;
    to = { ...p.rowsOf([n, l, h, d]), dims, strides: [l * h * d, d, h * d, 1] };
    p.set(value, to);
  } else to = p.rowOutput(value);
  const y = heads(to, "attention");
  const [n, h, rows, d] = q.dims;
  const keys = k.dims[2], dv = v.dims[3];
  const keyPanels = Math.ceil(keys / 8), valuePanels = Math.ceil(dv / 8);
  const shared = p.rowsOf([n * h * (keyPanels * d + valuePanels * keys) * 8]);
  const strides = ({ strides: [n, h, row] }: View) => [4 * row, 4 * h, 4 * n];
  const block = Math.min(BLOCK, roundUp(Math.ceil(rows / p.threads), 6));
  p.step("attention", `attention ${rows}×${keys}×${d}`, [
    { place: q },
    ...strides(q),
    { place: k },
    ...strides(k),
    { place: v },
    ...strides(v),
    { place: y },
    ...strides(y),
    n,
    h,
    rows,
    keys,
    d,
    dv,
    { float: match.scale },
    block,
    { place: shared },
    { scratch: (block + SPARE) * 32 * (keyPanels + valuePanels) },
  ]);
}
