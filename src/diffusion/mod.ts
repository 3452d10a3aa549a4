/**
 * The maths of diffusion models: noise schedules, the forward process, its posterior, conversions
 * between predictions, timestep spacing and torch-compatible noise. Pure functions without
 * dependencies, in the papers' letters. A scheduler plug-in needs nothing else.
 *
 * @module
 */
export * from "./ancestral.ts";
export * from "./betas.ts";
export * from "./clip.ts";
export * from "./combine.ts";
export * from "./config.ts";
export * from "./forward.ts";
export * from "./measurement.ts";
export * from "./posterior.ts";
export * from "./prediction.ts";
export * from "./random.ts";
export * from "./remap.ts";
export * from "./schedule.ts";
export * from "./spacing.ts";
export * from "./time_travel.ts";
export type { Guided } from "./guided.ts";
export type * from "./scheduler.ts";
