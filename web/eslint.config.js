import eslint from "@eslint/js"
import hooks from "eslint-plugin-react-hooks"
import tseslint from "typescript-eslint"

const features = ["contacts", "conversations", "files", "messages", "participants"]

export default tseslint.config(
  { ignores: ["dist", "src/graphql/generated"] },
  eslint.configs.recommended,
  ...tseslint.configs.strict,
  ...tseslint.configs.stylistic,
  hooks.configs.flat["recommended-latest"],
  // Features do not know each other: src/app puts them together.
  ...features.map((feature) => ({
    files: [`src/features/${feature}/**`],
    rules: {
      "no-restricted-imports": [
        "error",
        {
          patterns: [
            {
              group: features.filter((other) => other !== feature).map((other) => `**/${other}/**`),
              message: "Features do not import each other: put them together in src/app.",
            },
            { group: ["**/app/**"], message: "Features do not know the app they are in." },
          ],
        },
      ],
    },
  })),
)
