import { graphql } from "../../graphql/generated"
import { useAct } from "../../graphql/useAct"

const ArchiveConversation = graphql(`
  mutation ArchiveConversation($input: ArchiveConversationInput!) {
    archiveConversation(input: $input) {
      conversation {
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

/** Takes a conversation out of the person's list; nobody else hears of it (S46). */
export function useArchiveConversation() {
  return useAct(ArchiveConversation, (data) => data.archiveConversation, { isRepeatable: true })
}
