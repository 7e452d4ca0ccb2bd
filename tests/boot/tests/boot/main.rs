//! Boots the image in a virtual machine and looks at it from outside, as an operator would.
//!
//! A boot takes half a minute on an emulated processor: tests share one wherever one failure does not hide another.

mod confinement;
mod disks;
mod expiry;
mod faults;
mod life;
mod media;
mod shows;
mod store;
