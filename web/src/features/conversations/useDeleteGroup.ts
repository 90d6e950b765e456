import { forget } from "../../graphql/events"
import { graphql } from "../../graphql/generated"
import { useAct } from "../../graphql/useAct"

const DeleteGroup = graphql(`
  mutation DeleteGroup($input: DeleteGroupInput!) {
    deleteGroup(input: $input) {
      deletedConversationId
      userErrors {
        message
        field
      }
    }
  }
`)

/** Makes a group disappear for everybody (S59). */
export function useDeleteGroup() {
  return useAct(DeleteGroup, (data) => data.deleteGroup, {
    update(cache, { deleteGroup: { deletedConversationId } }) {
      if (deletedConversationId) forget(cache, deletedConversationId)
    },
  })
}
