module github.com/entente-network/entente

go 1.26
