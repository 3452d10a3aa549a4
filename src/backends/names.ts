/** What engines are called, in flags and in `load`; select.ts says where each is. */
export const backendNames: readonly BackendName[] = ["auto", "simd", "wasm", "webgpu", "native"];

/** An engine's name; "auto" is a GPU where there is one, else simd, else wasm. */
export type BackendName = "auto" | "simd" | "wasm" | "webgpu" | "native";
