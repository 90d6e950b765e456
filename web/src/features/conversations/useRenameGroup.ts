import { graphql } from "../../graphql/generated"
import { useAct } from "../../graphql/useAct"

const RenameGroup = graphql(`
  mutation RenameGroup($input: RenameGroupInput!) {
    renameGroup(input: $input) {
      group {
        id
        ...LiveConversation
      }
      userErrors {
        message
        field
      }
    }
  }
`)

/** Gives a group another name (E29). */
export function useRenameGroup() {
  return useAct(RenameGroup, (data) => data.renameGroup)
}
