import { graphql } from "../../graphql/generated"
import { useAct } from "../../graphql/useAct"

const CreateGroup = graphql(`
  mutation CreateGroup($input: CreateGroupInput!) {
    createGroup(input: $input) {
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

/** Creates a group that the person owns (E1). */
export function useCreateGroup() {
  return useAct(CreateGroup, (data) => data.createGroup)
}
