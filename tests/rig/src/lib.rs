//! tests-rig.
