/** diffusers' U-Net: its config, its tensors' names, and the network itself. */
export * from "./config.ts";
export * from "./names.ts";
export * from "./unet.ts";
