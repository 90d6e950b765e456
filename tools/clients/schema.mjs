// Says how two schemas differ, by graphql-js: one as introspection JSON, one as SDL. Nothing if they are the same.
//
//   node schema.mjs JSON-PATH SDL-PATH
import { readFileSync } from 'node:fs'
import { buildClientSchema, buildSchema, lexicographicSortSchema, printSchema } from 'graphql'

const [json, sdl] = process.argv.slice(2).map((path) => readFileSync(path, 'utf8'))
const lines = (schema) => printSchema(lexicographicSortSchema(schema)).split('\n')
const introspected = lines(buildClientSchema(JSON.parse(json).data))
const written = lines(buildSchema(sdl))
for (const [number, line] of written.entries()) {
  if (introspected[number] !== line) {
    console.log(`line ${number + 1} is ${introspected[number]} instead of ${line}`)
    process.exit(1)
  }
}
if (introspected.length !== written.length) console.log(`there are ${introspected.length} lines instead of ${written.length}`)
