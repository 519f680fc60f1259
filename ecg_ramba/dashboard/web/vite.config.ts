import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// Nothing inlined: the server's Content-Security-Policy allows neither inline scripts nor data: addresses. Names hold a
// hash of the content, so browsers may keep the files for good; the build is committed and compared byte by byte.
export default defineConfig({
  plugins: [react()],
  base: "/",
  build: {
    outDir: "../static",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    cssCodeSplit: false,
    target: "es2022",
    rollupOptions: {
      output: {
        entryFileNames: "assets/page-[hash].js",
        chunkFileNames: "assets/[name]-[hash].js",
        assetFileNames: "assets/[name]-[hash][extname]",
      },
    },
  },
  server: { proxy: { "/api": "http://127.0.0.1:8000" } },
});
