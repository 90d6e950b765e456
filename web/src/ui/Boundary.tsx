import { Button } from "@mantine/core"
import { Component, type ReactNode } from "react"

/** Keeps a fault in one place: what is around it goes on. */
export class Boundary extends Component<{ children: ReactNode }, { hasFailed: boolean }> {
  override state = { hasFailed: false }

  static getDerivedStateFromError() {
    return { hasFailed: true }
  }

  override render() {
    if (!this.state.hasFailed) return this.props.children
    return (
      <div className="part-failed" role="alert">
        <p>Something went wrong here.</p>
        <Button size="xs" onClick={() => this.setState({ hasFailed: false })}>
          Try again
        </Button>
      </div>
    )
  }
}
