/**
 * The HTTP service as a Hono app on web standards: {@link createApp}.
 *
 * @module
 */
export { type AppOptions, createApp, type DenoiseApp } from "./app.ts";
export { type AccessOptions, signAddress } from "./access.ts";
export { clientBehindProxy } from "./client.ts";
export { defaultLimits, type Limits } from "./limits.ts";
export type { Log, LogEntry } from "./log.ts";
export type { ServedModel } from "./served_model.ts";
export type { Network, Recommendation } from "../sampling/network.ts";
export type {
  Denoised,
  Frame,
  OptionSchema,
  PredictionType,
  Run,
  Schedule,
  Scheduler,
  SchedulerConfig,
  SchedulerOptions,
  TimestepSpacing,
  VarianceType,
} from "../diffusion/types.ts";
