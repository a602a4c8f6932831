/** The version of the OCI runtime specification that this code follows; the oldest that it takes is 1.0.0. */
export const ociRuntimeVersion = "1.3.0";
