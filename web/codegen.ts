import type { CodegenConfig } from "@graphql-codegen/cli"

const config: CodegenConfig = {
  schema: "../schema.graphqls",
  documents: ["src/**/*.{ts,tsx}", "!src/graphql/generated/**", "!src/explorer/**", "!src/**/*.test.*"],
  generates: {
    "src/graphql/generated/": {
      preset: "client",
      presetConfig: { fragmentMasking: { unmaskFunctionName: "readFragment" } },
      config: {
        scalars: { DateTime: "string", Cursor: "string", ID: "string" },
        strictScalars: true,
        // Apollo Client asks for __typename everywhere.
        nonOptionalTypename: true,
        skipTypeNameForRoot: true,
        enumsAsTypes: true,
        useTypeImports: true,
      },
    },
    "src/graphql/generated/possibleTypes.ts": {
      plugins: ["fragment-matcher"],
      config: { useExplicitTyping: true },
    },
  },
}

export default config
