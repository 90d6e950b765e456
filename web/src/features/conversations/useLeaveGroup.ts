import { graphql } from "../../graphql/generated"
import { useAct } from "../../graphql/useAct"

const LeaveGroup = graphql(`
  mutation LeaveGroup($input: LeaveGroupInput!) {
    leaveGroup(input: $input) {
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

/** Ends the person's membership (S49-S53). An owner hands the group over in the same step (E2). */
export function useLeaveGroup() {
  return useAct(LeaveGroup, (data) => data.leaveGroup)
}
