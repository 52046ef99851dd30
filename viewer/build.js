// Builds the page into the Python package: one script, one HTML file with its styles, the licences of what is bundled,
// and a manifest of hashes by which a test sees that the built page is that of these sources.

import { createHash } from "node:crypto"
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

const here = dirname(fileURLToPath(import.meta.url))
const output = process.argv[2] ?? join(here, "..", "src", "leansplat", "viewing", "page")

const sha256 = file => createHash("sha256").update(readFileSync(file)).digest("hex")

// The engine sorts small scenes into a thousand depths, so that Gaussians beside each other are drawn in the wrong
// order. A million cost two milliseconds.
const depths = "Math.max(10, Math.min(20, Math.round(Math.log2(numVertices / 4))))"
const finerSort = {
  name: "finer-sort",
  setup(builder) {
    builder.onLoad({ filter: /gsplat-unified-sort-worker\.js$/ }, ({ path }) => {
      const parts = readFileSync(path, "utf8").split(depths)
      if (parts.length !== 2) throw new Error("the engine sorts in another way than this build knows")
      return { contents: parts.join("20"), loader: "js" }
    })
  },
}

mkdirSync(output, { recursive: true })
const result = await build({
  absWorkingDir: here, entryPoints: ["src/main.js"], outfile: join(output, "viewer.js"), bundle: true, minify: true,
  format: "iife", target: "es2022", legalComments: "none", charset: "ascii", metafile: true, logLevel: "warning",
  plugins: [finerSort],
})
const style = readFileSync(join(here, "src/style.css"), "utf8")
const page = readFileSync(join(here, "src/index.html"), "utf8").replace("/* style.css */", () => `\n${style}`)
writeFileSync(join(output, "index.html"), page)

const packages = [...new Set(Object.keys(result.metafile.inputs)
  .map(name => name.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)\//)?.[1]).filter(Boolean))].sort()
const licences = packages.map(name => {
  const folder = join(here, "node_modules", name)
  const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"))
  const file = readdirSync(folder).find(entry => /^licen[cs]e/i.test(entry))
  return `${name} ${version} (${license})\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`
})
writeFileSync(join(output, "LICENSES.txt"), `viewer.js contains, besides leansplat's own code:\n\n${licences.join("\n\n")}`)

const sources = ["build.js", "package.json", "package-lock.json", ...readdirSync(join(here, "src")).map(name => `src/${name}`)]
const hashes = (folder, names) => Object.fromEntries(names.sort().map(name => [name, sha256(join(folder, name))]))
const manifest = {
  sources: hashes(here, sources), built: hashes(output, ["LICENSES.txt", "index.html", "viewer.js"]),
}
writeFileSync(join(output, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`)
