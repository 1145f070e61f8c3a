//! Builds with a model that plays a script: everything around it is real.

mod approvals;
mod builds;
mod crashes;
mod flow;
mod limits;
mod model;
mod robust;
mod stage;
mod tools;
