"""Networks and samplers as mathematics: layers, the U-Net, EDM's diffusion, patches of a sphere."""
