//! What the machine reaches when it does nothing but the one thing a workload cannot do without.

pub mod device;
pub mod group_commit;
pub mod kernel;
