/**
 * The HTTP service as a Hono app on web standards: {@link createApp}.
 *
 * @module
 */
export { type AppOptions, createApp, type DenoiseApp } from "./http/app.ts";
export { type AccessOptions, signAddress } from "./http/access.ts";
export { clientBehindProxy } from "./http/client.ts";
export { defaultLimits, type Limits } from "./work/limits.ts";
export type { Log, LogEntry } from "./log.ts";
export type { ServedModel } from "./work/served_model.ts";
export type { Distilled } from "../weights/read/card.ts";
export type { Guided } from "../diffusion/guided.ts";
export type { Network, Recommendation } from "../model/network.ts";
export type {
  Denoised,
  Frame,
  LinearOperator,
  Measurement,
  OptionSchema,
  PredictionType,
  Run,
  RunInputs,
  Schedule,
  Scheduler,
  SchedulerConfig,
  SchedulerOptions,
  TimestepSpacing,
  VarianceType,
  Vector,
} from "../diffusion/scheduler.ts";
