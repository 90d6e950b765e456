import react from "@vitejs/plugin-react"
import { defineConfig } from "vitest/config"

export default defineConfig({
  // Relative, so that the module works from wherever a host page loads it.
  base: "./",
  plugins: [react()],
  build: {
    target: "es2023",
    modulePreload: { polyfill: false },
    // Nothing of ours is inlined into pages, which allow no data: scripts or styles.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 5_000,
    rolldownOptions: {
      input: {
        index: "index.html",
        explorer: "explorer.html",
        example: "example.html",
        corridor: "src/corridor.ts",
      },
      output: {
        entryFileNames: (chunk) => (chunk.name === "corridor" ? "corridor.js" : "assets/[name]-[hash].js"),
      },
    },
  },
  test: { environment: "happy-dom", include: ["src/**/*.test.{ts,tsx}", "test/*.test.ts"] },
})
