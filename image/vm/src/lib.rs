//! image-vm.
