//! kube-controller-manager: keeps desired and actual state together, as an ordinary client of the API.
