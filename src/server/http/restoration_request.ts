/** What a form asks to be restored, worked out to orders. */
import { restorers } from "../../../schedulers/restoration/mod.ts";
import { FieldError } from "../../errors.ts";
import { fromPixels, type Pixels } from "../../image/pixels.ts";
import { optionsFromText } from "../../recipe/options.ts";
import { sizeOfFile } from "../../recipe/size.ts";
import { type Degradation, operatorOf } from "../../restoration/degradation.ts";
import { fit, givenShape, readMask } from "../../restoration/fit.ts";
import { MEASUREMENT, measurementInput } from "../../restoration/input.ts";
import { given } from "../../restoration/measure.ts";
import { recommendedRestorer } from "../../restoration/recommended.ts";
import { knowsEveryTimestep } from "../../sampling/distilled.ts";
import { countEvaluations } from "../../sampling/evaluations.ts";
import { invalid, listed, refusal, refusing } from "../problem.ts";
import { type Charge, type Order, Orders } from "../work/cost.ts";
import { type Catalog, findWeights, resolve } from "../work/recipe.ts";
import { anySeed, nextSeed } from "../work/seed.ts";
import type { ServedModel } from "../work/served_model.ts";
import type { Generation } from "./read_generation.ts";
import { readSize } from "./recipe_request.ts";
import { checkCaps, type Services } from "./services.ts";

/** What every form says of its answers, validated. */
export interface AnswerFields {
  readonly model?: string;
  readonly n?: number;
  readonly size?: string;
  readonly seed?: number;
  readonly label?: string;
  readonly guidance?: number;
  readonly sampler?: string;
  readonly steps?: number;
  readonly stream?: boolean;
  readonly partial_images?: number;
}

/** A picture that has lost something. */
export interface Damaged {
  readonly picture: Pixels;
  readonly degradation: Degradation;
  /** A mask, and the field it came in. */
  readonly mask?: { readonly field: string; readonly pixels: Pixels };
  readonly noise?: number | "auto";
}

/** How it is to be restored, where the form leaves it open. */
export interface Method {
  readonly sampler?: string;
  readonly steps?: number;
  /** The sampler's options as texts. */
  readonly options?: Readonly<Record<string, string>>;
}

/**
 * Orders for n answers to each picture.
 * @param charge told what it costs to work them out
 * @throws Problem 404 for weights that are not loaded, 422 for what does not fit them or is too much
 */
export async function readRestoration(
  services: Services,
  fields: AnswerFields,
  pictures: readonly Damaged[],
  method: Method,
  charge: Charge,
): Promise<Generation> {
  const { catalog, limits } = services;
  const restoring = { ...catalog, schedulers: restorers, plugins: {} };
  const planned = new Orders(restoring);
  const { name, model } = restoringWeights(catalog, fields.model);
  const size = readSize(fields.size, model);
  const n = fields.n ?? 1;
  if (n * pictures.length > limits.maxImages) {
    throw invalid("n", `at most ${limits.maxImages} answers in one request`, n * pictures.length);
  }
  const first = fields.seed ?? anySeed();
  const partialImages = fields.stream ? fields.partial_images ?? 0 : 0;
  const orders: Order[] = [];
  for (const damaged of pictures) {
    const measurement = refusing(() => measure(damaged, model.shape));
    const recommended = recommendedRestorer(measurement);
    const scheduler = method.sampler ?? recommended.sampler;
    const options = method.sampler === undefined && method.options === undefined
      ? recommended.options
      : optionsFromText(restorers[scheduler], method.options ?? {});
    if (restorers[scheduler].needs?.includes("vjp") && !hasGradients(model)) {
      throw invalid("sampler", "one that needs no gradients, which are not had here", scheduler);
    }
    const inputs = { [MEASUREMENT]: await measurementInput(measurement) };
    for (let i = 0; i < n; i++) {
      const recipe = resolve(restoring, {
        weights: name,
        scheduler,
        steps: method.steps ?? recommended.steps,
        label: fields.label,
        guidance: fields.guidance ?? 1,
        size,
        options,
        inputs,
      }, nextSeed(first, i));
      // What nobody named the picture decides, not the seed.
      const label = fields.label === undefined ? model.nullLabel ?? recipe.label : recipe.label;
      const order = await planned.of({ ...recipe, label }, charge, {
        previews: partialImages,
      });
      // What a sampler does not take it says at its first step, here with a single pixel.
      await countEvaluations(order.plan, undefined, 0, measurement.sigma_y).catch((error) => {
        throw refusal(error);
      });
      orders.push({ ...order, inputs: { [MEASUREMENT]: measurement } });
    }
  }
  checkCaps(services, orders, "size");
  const shown = sizeOfFile(model.shape, orders[0].recipe).join("x");
  return { orders, model, size: shown, format: "b64_json", partialImages };
}

/**
 * The weights that a form names, or the first that answer at every timestep.
 * @throws Problem 404 for weights that are not loaded, 422 for such as know few timesteps
 */
export function restoringWeights(catalog: Catalog, named: string | undefined) {
  const able = [...catalog.models.keys()].filter((name) =>
    knowsEveryTimestep(catalog.models.get(name)!)
  );
  const found = findWeights(catalog, named ?? able[0]);
  if (knowsEveryTimestep(found.model)) return found;
  const { steps } = found.model.distilled!;
  const expected = able.length > 0
    ? `weights that answer at every timestep (${listed(able)}), not in ${steps} steps alone`
    : `weights that answer at every timestep, as the teacher of "${found.name}" does; none are loaded here`;
  throw invalid("model", expected, found.name);
}

/** Engines that run a network's gradient; on others a request for it would look like a broken one. */
const ENGINES_WITH_GRADIENTS = ["native", "wasm"];

function hasGradients({ vjp, backend }: ServedModel): boolean {
  return vjp !== undefined && ENGINES_WITH_GRADIENTS.includes(backend);
}

function measure(
  { picture, degradation, mask: file, noise }: Damaged,
  shape: readonly [number, number, number],
) {
  const small = givenShape(degradation, shape);
  const fitted = fit("image", picture, small);
  const mask = file && readMask(file.field, file.pixels, picture, small, 0);
  const operator = operatorOf({ ...degradation, mask }, shape);
  return given(operator, fromPixels(fitted.picture), noise, mask);
}

/** A sampler by name. @throws FieldError listing those there are */
export function requireSampler(name: string | undefined): string | undefined {
  if (name === undefined || Object.hasOwn(restorers, name)) return name;
  throw new FieldError("sampler", `one of ${Object.keys(restorers).join(", ")}`, name);
}
