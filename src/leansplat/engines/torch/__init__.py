"""The torch engine: plain tensors on any device, gradients by autograd, and a rasteriser that is passed in."""
