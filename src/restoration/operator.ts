/** The contract between operators (the plug-ins in `operators/`) and everything else. */
import type { LinearOperator, OptionSchema, SchedulerOptions } from "../diffusion/scheduler.ts";

/** [C, H, W]. */
export type PictureShape = readonly [channels: number, height: number, width: number];

/** What an operator is made for. */
export interface OperatorRequest {
  /** [C, H, W] of the restored picture x. */
  readonly shape: PictureShape;
  /** The plug-in's options, defaults filled in. */
  readonly options: SchedulerOptions;
  /**
   * Which values of y were kept, for operators that say `mask: true`: 1 or 0 for each pixel of
   * y, [height, width] of y.
   */
  readonly mask?: Uint8Array;
}

/**
 * An operator plug-in: one file, this as its default export. `create` gives H for pictures of a shape.
 *
 * @example
 * ```ts
 * import type { OperatorPlugin } from "./operator.ts";
 * import { denoising } from "./operators/denoising.ts";
 *
 * const mine: OperatorPlugin = { name: "mine", api: 1, create: ({ shape }) => denoising(shape) };
 * export default mine;
 * ```
 */
export interface OperatorPlugin {
  /** What `--operator` calls it. */
  readonly name: string;
  /** The version of this contract. */
  readonly api: 1;
  /** One line for help texts. */
  readonly description?: string;
  /** What the user may set, by name. */
  readonly options?: Readonly<Record<string, OptionSchema>>;
  /** Whether a mask says what is kept of y. */
  readonly mask?: boolean;
  /** H. @throws InputError for shapes and options that it cannot be made for. */
  create(request: OperatorRequest): LinearOperator;
}
