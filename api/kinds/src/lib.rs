//! Schemas of the Kubernetes kinds.
