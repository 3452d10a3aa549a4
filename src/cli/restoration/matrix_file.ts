/** A matrix of the user's own: `.npy`, `.npz` with one array in it, or JSON's rows. */
import { FieldError, InputError } from "../../errors.ts";
import { type NpyArray, parseNpy } from "../../files/npy.ts";
import { readNpz } from "../../image/npz.ts";
import type { Matrix } from "../../restoration/linear/matrix.ts";
import type { OperatorPlugin } from "../../restoration/operator.ts";
import { dense } from "../../restoration/operators/dense.ts";
import { readInput } from "../files.ts";

/** y = H x with the matrix of a file: its rows are y, its columns x in the order [C, H, W]. */
export async function matrixOperator(path: string): Promise<OperatorPlugin> {
  const where = `--matrix ${path}`;
  const h = matrixOf(await readArray(await readInput("--matrix", path), path, where), where);
  return { name: "matrix", api: 1, create: ({ shape }) => dense(shape, h) };
}

async function readArray(bytes: Uint8Array, path: string, where: string): Promise<NpyArray> {
  if (/\.npy$/i.test(path)) return parseNpy(bytes, where);
  if (/\.json$/i.test(path)) return fromJson(bytes, where);
  if (!/\.npz$/i.test(path)) {
    throw new FieldError("--matrix", "a file that ends in .npy, .npz or .json", path);
  }
  const arrays = await readNpz(bytes, where);
  if (arrays.size === 1) return [...arrays.values()][0];
  throw new InputError(`${where}: expected one array, found ${[...arrays.keys()].join(", ")}`);
}

/** [[1, 0], [0, 1]]. */
function fromJson(bytes: Uint8Array, where: string): NpyArray {
  const wrong = (found: string) => {
    throw new InputError(`${where}: expected rows of numbers, [[1, 0], [0, 1]], found ${found}`);
  };
  let rows: unknown;
  try {
    rows = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return wrong("no JSON");
  }
  if (!Array.isArray(rows) || !rows.every(Array.isArray)) return wrong("something else");
  const columns = rows[0]?.length ?? 0;
  const odd = rows.findIndex((row) => row.length !== columns);
  if (odd >= 0) return wrong(`${rows[odd].length} in row ${odd + 1} after ${columns} in the first`);
  const data = new Float64Array(rows.length * columns);
  for (const [i, row] of rows.entries()) {
    for (const [j, value] of row.entries()) {
      if (typeof value !== "number") return wrong(`${JSON.stringify(value)} in row ${i + 1}`);
      data[i * columns + j] = value;
    }
  }
  return { shape: [rows.length, columns], data };
}

function matrixOf({ shape, data }: NpyArray, where: string): Matrix {
  const [rows, columns] = shape;
  if (shape.length !== 2 || data.length === 0) {
    throw new InputError(`${where}: expected [rows, columns], found an array of shape [${shape}]`);
  }
  return { rows, columns, data: Float64Array.from(data as ArrayLike<number>, Number) };
}
