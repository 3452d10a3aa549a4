/** Forms with pictures in them, from strangers: their size, their time and their pixels are bounded. */
import { InputError } from "../../errors.ts";
import type { Pixels } from "../../image/pixels.ts";
import { decodePicture } from "../../image/read.ts";
import { excerpt, invalid, Problem, refusing } from "../problem.ts";
import { type Charge, PIXELS_PER_EVALUATION } from "../work/cost.ts";
import type { Limits } from "../work/limits.ts";
import { readBytes, requireLength } from "./body.ts";

/** A form's texts and files. */
export interface Form {
  /** Texts by name. */
  readonly fields: Readonly<Record<string, string>>;
  /** Files by name, in their order; "image[]" counts as "image". */
  readonly files: Readonly<Record<string, readonly File[]>>;
}

/** Parts that a form may have: browsers and clients send far fewer. */
const MAX_PARTS = 64;

/** @throws Problem 415, 413, 408, 400 or 422 */
export async function readForm(
  request: Request,
  { maxUploadBytes, uploadTimeoutMs }: Pick<Limits, "maxUploadBytes" | "uploadTimeoutMs">,
): Promise<Form> {
  const type = request.headers.get("content-type") ?? "";
  if (!/^multipart\/form-data\s*;/i.test(type)) {
    throw new Problem(
      415,
      "media_type",
      `content-type: expected multipart/form-data, found ${excerpt(type || "none")}`,
    );
  }
  requireLength(request, maxUploadBytes);
  const bytes = await readBytes(request, maxUploadBytes, uploadTimeoutMs);
  let form: FormData;
  try {
    form = await new Response(bytes, { headers: { "content-type": type } }).formData();
  } catch {
    throw new Problem(400, "malformed", "body: expected multipart/form-data, found it damaged");
  }
  const parts = [...form];
  if (parts.length > MAX_PARTS) throw invalid("body", `at most ${MAX_PARTS} parts`, parts.length);
  const fields = new Map<string, string>();
  const files = new Map<string, File[]>();
  for (const [key, value] of parts) {
    const name = key.replace(/\[\]$/, "");
    if (typeof value !== "string") files.set(name, [...(files.get(name) ?? []), value]);
    else if (fields.has(name)) throw invalid(name, "it once", "it again");
    else fields.set(name, value);
  }
  return { fields: Object.fromEntries(fields), files: Object.fromEntries(files) };
}

/**
 * A file's picture. A few bytes may be millions of pixels: they are charged as evaluations, and other
 * requests have their turn before them.
 * @throws Problem 422 for what is none, or too large
 */
export async function readUpload(
  file: File,
  field: string,
  { maxPixels }: Pick<Limits, "maxPixels">,
  charge: Charge,
): Promise<Pixels> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  await new Promise((resolve) => setTimeout(resolve));
  try {
    const picture = decodePicture(bytes, field, maxPixels);
    charge(Math.floor(picture.width * picture.height / PIXELS_PER_EVALUATION));
    return picture;
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    const problem = refusing(() => invalid(field, "a PNG or JPEG picture", excerpt(file.name)));
    throw new Problem(422, "invalid", excerpt(error.message, 300), { errors: problem.errors });
  }
}
